"""Evaluate: validators, ground truth, and scores of stored detections."""
