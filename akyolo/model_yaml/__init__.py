"""Compile a model YAML: lower, then fill."""

from akyolo.model_yaml.dump import model_yaml_text, row_text
from akyolo.model_yaml.fill import Call, fill
from akyolo.model_yaml.lower import lower
from akyolo.model_yaml.lowered_rows import Plan, PlannedRow
from akyolo.model_yaml.names import find_model_yaml, name_without_scale, scale_in
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
    "name_without_scale",
    "row_text",
    "scale_in",
]
