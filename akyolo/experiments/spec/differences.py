"""Compare a stored table with another."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from akyolo.experiments.spec.table_spec import DataSet, TableRow, TableSpec, rule_as_mapping
from akyolo.swapping import SwapRule

STATED = "the table states something else"  # follows from an overridden argument, where there is one


def differences(stored: TableSpec, current: TableSpec) -> list[str]:
    """Return, in words, what differs between two tables.

    Seeds and rows that `current` adds at the end are no difference.

    Example:
        >>> from akyolo.experiments.spec.differences import differences
        >>> from akyolo.experiments.spec.table_spec import TableRow, TableSpec
        >>> rows = (TableRow("plain", "yolov8n.yaml"),)
        >>> stored = TableSpec("mine", None, None, {"epochs": 3}, "coco", {}, rows, seeds=(0,))
        >>> differences(stored, TableSpec("mine", None, None, {"epochs": 4}, "coco", {}, rows, seeds=(0, 1)))
        ['epochs is 3 in spec.yaml, 4 in the command']
    """
    different = list(dict.fromkeys(_compare(stored, current, "")))
    return [text for text in different if text != STATED] or different


def _compare(stored: Any, current: Any, key: str) -> Iterator[str]:
    """Yield the differences of two values.

    They are those of the innermost mappings.
    """
    if key == "stated" and stored != current:
        yield STATED
    elif isinstance(stored, TableSpec | TableRow | DataSet | SwapRule | Mapping) and type(stored) is type(current):
        before, now = _parts(stored), _parts(current)
        for name in dict.fromkeys([*before, *now]):
            yield from _compare(before.get(name), now.get(name), name)
    elif key == "rows" and len(stored) <= len(current):
        for row, other in zip(stored, current, strict=False):
            yield from _compare(row, other, key)
    elif key == "seeds" and current[: len(stored)] == stored:
        return
    elif stored != current:
        yield f"{key} is {_words(stored)} in spec.yaml, {_words(current)} in the command"


def _parts(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    if isinstance(value, SwapRule):
        return rule_as_mapping(value)
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _words(value: Any) -> str:
    if value in (None, "", ()):
        return "not given"
    if isinstance(value, tuple) and all(isinstance(row, TableRow) for row in value):
        return ", ".join(row.row for row in value)
    if isinstance(value, tuple):
        return str(list(value))
    if isinstance(value, SwapRule):
        return str(rule_as_mapping(value))
    return str(value)
