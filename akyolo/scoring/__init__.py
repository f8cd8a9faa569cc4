"""What a model costs, how fast it is, and how good: its detections, scored under named protocols."""
