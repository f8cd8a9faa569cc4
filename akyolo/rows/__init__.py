"""The model YAML as a small language: lower it to upstream's rows, then fill our modules in."""

from akyolo.rows.fill import Call, fill
from akyolo.rows.grammar import grammar
from akyolo.rows.lower import lower
from akyolo.rows.names import find_model_yaml
from akyolo.rows.plan import Plan, PlannedRow

__all__ = ["Call", "Plan", "PlannedRow", "fill", "find_model_yaml", "grammar", "lower"]
