"""Read annotations, one reader per format."""
