"""Measure time and memory of operators, compared with reference implementations."""
