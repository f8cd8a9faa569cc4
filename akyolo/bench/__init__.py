"""Measure the time and memory of operators."""
