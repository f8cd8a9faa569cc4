"""Write, read and check data sets in the layout of Ultralytics."""
