"""A model YAML as text, laid out for reading: one row a line."""

import sys
from collections.abc import Mapping
from typing import Any

import yaml

_ADDED = ("scale", "yaml_file", "source_file")  # by the reader, for upstream and for messages


class _NoAliases(yaml.SafeDumper):
    """Writes the same list twice where it occurs twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def model_yaml_text(cfg: Mapping[str, Any]) -> str:
    """The mapping as YAML, `  - [-1, 1, Conv, [64, 3, 2]]` a row; what the reader of a file has added is left out."""
    return "".join(_entry(key, value) for key, value in cfg.items() if key not in _ADDED)


def row_text(value: Any) -> str:
    """A row, or any other value of a model YAML, in one line."""
    text: str = yaml.dump(
        [value], Dumper=_NoAliases, default_flow_style=True, sort_keys=False, allow_unicode=True, width=sys.maxsize
    )
    return text.strip()[1:-1]  # of a list: a value alone would be marked as a document of its own


def _entry(key: Any, value: Any) -> str:
    lines = []
    if isinstance(value, dict):
        lines = [f"  {row_text(k)}: {row_text(v)}" for k, v in value.items()]
    elif isinstance(value, list) and any(isinstance(item, list) for item in value):
        lines = [f"  - {row_text(item)}" for item in value]
    if not lines:
        return f"{row_text(key)}: {row_text(value)}\n"
    return "\n".join([f"{row_text(key)}:", *lines, ""])
