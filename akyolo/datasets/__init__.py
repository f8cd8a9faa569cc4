"""Read, convert, check and write data sets."""
