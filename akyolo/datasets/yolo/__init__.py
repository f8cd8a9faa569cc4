"""Write, read and check Ultralytics data sets."""
