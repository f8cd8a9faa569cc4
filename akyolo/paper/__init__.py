"""The tables of AKConv's paper: rows as data, and what comes of building them."""
