"""Validate models, and score stored detections."""
