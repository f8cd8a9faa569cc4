"""The model YAML as a small language: lower it to upstream's rows, then fill our modules in; and change it by rules."""

from akyolo.model_yaml.dump import model_yaml_text, row_text
from akyolo.model_yaml.fill import Call, fill
from akyolo.model_yaml.lower import lower
from akyolo.model_yaml.lowered_rows import Plan, PlannedRow
from akyolo.model_yaml.names import find_model_yaml, scale_in, unscaled
from akyolo.model_yaml.syntax import grammar, literal

__all__ = [
    "Call",
    "Plan",
    "PlannedRow",
    "fill",
    "find_model_yaml",
    "grammar",
    "literal",
    "lower",
    "model_yaml_text",
    "row_text",
    "scale_in",
    "unscaled",
]
