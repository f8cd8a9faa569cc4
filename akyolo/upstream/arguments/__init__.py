"""Resolve and check the arguments of a mode."""
