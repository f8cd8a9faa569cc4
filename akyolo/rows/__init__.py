"""The model YAML as a small language: lower it to upstream's rows, then fill our modules in."""

from akyolo.rows.fill import fill
from akyolo.rows.lower import grammar, lower
from akyolo.rows.names import find_model_yaml
from akyolo.rows.plan import Plan, PlannedRow

__all__ = ["Plan", "PlannedRow", "fill", "find_model_yaml", "grammar", "lower"]
