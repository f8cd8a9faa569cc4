"""The model YAML as a small language: lower it to upstream's rows, then fill our modules in; and change it by rules."""

from akyolo.rows.fill import Call, fill
from akyolo.rows.grammar import grammar, literal
from akyolo.rows.lower import lower
from akyolo.rows.names import find_model_yaml, scale_in, unscaled
from akyolo.rows.plan import Plan, PlannedRow
from akyolo.rows.swap import ChangedRow, SwapRule, swap
from akyolo.rows.text import model_yaml_text, row_text

__all__ = [
    "Call",
    "ChangedRow",
    "Plan",
    "PlannedRow",
    "SwapRule",
    "fill",
    "find_model_yaml",
    "grammar",
    "literal",
    "lower",
    "model_yaml_text",
    "row_text",
    "scale_in",
    "swap",
    "unscaled",
]
