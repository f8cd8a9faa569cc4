"""Write a model YAML, one row per line."""

import sys
from collections.abc import Mapping
from typing import Any

import yaml

_ADDED_BY_READER = ("scale", "yaml_file", "source_file")  # for upstream and for messages


class _NoAliases(yaml.SafeDumper):
    """A dumper that writes no aliases.

    It writes a list again wherever the list occurs again.
    """

    def ignore_aliases(self, data: Any) -> bool:
        """Return that no value becomes an alias."""
        return True


def model_yaml_text(cfg: Mapping[str, Any]) -> str:
    """Return a model YAML as text.

    There is one row per line.

    Keys that reading a file adds are left out.

    Example:
        >>> from akyolo.model_yaml import model_yaml_text
        >>> print(model_yaml_text({"nc": 80, "backbone": [[-1, 1, "Conv", [64, 3, 2]]]}), end="")
        nc: 80
        backbone:
          - [-1, 1, Conv, [64, 3, 2]]
    """
    return "".join(_entry(key, value) for key, value in cfg.items() if key not in _ADDED_BY_READER)


def row_text(value: Any) -> str:
    """Return a row or value in one line.

    Example:
        >>> from akyolo.model_yaml import row_text
        >>> row_text([[-1, 6], 1, "Concat", [1]])
        '[[-1, 6], 1, Concat, [1]]'
    """
    text: str = yaml.dump(
        [value], Dumper=_NoAliases, default_flow_style=True, sort_keys=False, allow_unicode=True, width=sys.maxsize
    )
    # The value stands in a list, since YAML would mark a value alone as a document.
    return text.strip()[1:-1]


def _entry(key: Any, value: Any) -> str:
    """Return a key with its value."""
    lines = []
    if isinstance(value, dict):
        lines = [f"  {row_text(k)}: {row_text(v)}" for k, v in value.items()]
    elif isinstance(value, list) and any(isinstance(item, list) for item in value):
        lines = [f"  - {row_text(item)}" for item in value]
    if not lines:
        return f"{row_text(key)}: {row_text(value)}\n"
    return "\n".join([f"{row_text(key)}:", *lines, ""])
