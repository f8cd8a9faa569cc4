"""Annotations of other formats, read into `Picture`s and written as an Ultralytics data set."""
