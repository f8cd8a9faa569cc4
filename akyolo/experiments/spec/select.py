"""Select tables and rows; override arguments."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from akyolo.errors import ConfigError, did_you_mean
from akyolo.experiments.spec.table_spec import TRAINING_KEYS, TableSpec


def select_tables(tables: Sequence[TableSpec], names: Sequence[str]) -> list[TableSpec]:
    """Return the tables of these names.

    They come in the order of `tables`. Without names, all tables are returned.

    Args:
        tables: of a specification.
        names: a number is written as its digits.

    Raises:
        ConfigError: there is no such table.
    """
    all_names = [str(table.table) for table in tables]
    for name in names:
        if name not in all_names:
            raise ConfigError(f"there is no table {name!r}", location="--table", remedy=did_you_mean(name, all_names))
    return [table for table in tables if not names or str(table.table) in names]


def select_rows(tables: Sequence[TableSpec], names: Sequence[str]) -> set[str]:
    """Return the distinct names of selected rows.

    Without names, all rows are selected.

    Args:
        tables: as a file has them.
        names: of rows, as a file has them or as `with_distinct_rows` writes them; each is one name or several with
            commas between. A name may have a comma itself.

    Raises:
        ConfigError: there is no such row.
    """
    by_name: dict[str, set[str]] = {}
    for table in tables:
        for row, distinct in zip(table.rows, with_distinct_rows(table).rows, strict=True):
            by_name.setdefault(row.row, set()).add(distinct.row)
            by_name.setdefault(distinct.row, set()).add(distinct.row)
    selected: set[str] = set()
    for text in names:
        for name in [text] if text in by_name else [part.strip() for part in text.split(",")]:
            if name not in by_name:
                raise ConfigError(f"there is no row {name!r}", location="--rows", remedy=did_you_mean(name, by_name))
            selected |= by_name[name]
    return selected or {name for distinct in by_name.values() for name in distinct}


def with_distinct_rows(table: TableSpec) -> TableSpec:
    """Return the table with distinct row names.

    A name that it has twice gets the name of the model in front.
    """
    names = [row.row for row in table.rows]
    rows = tuple(
        dataclasses.replace(row, row=f"{Path(row.base).stem} {row.row}") if names.count(row.row) > 1 else row
        for row in table.rows
    )
    return dataclasses.replace(table, rows=rows)


def override(table: TableSpec, arguments: Mapping[str, Any]) -> TableSpec:
    """Return the table with other training arguments.

    What it stated before is kept under `stated`.

    Args:
        table: it may have been overridden before; then what it stated first is kept.
        arguments: `data`, `recipe`, arguments that the table evaluates with, and any others, which are settings.

    Example:
        >>> from akyolo.experiments.spec.select import override
        >>> from akyolo.experiments.spec.table_spec import TableRow, TableSpec
        >>> rows = (TableRow("plain", "yolov8n.yaml"),)
        >>> table = override(TableSpec(3, None, None, {"epochs": 300}, "coco", {"iou": 0.6}, rows), {"epochs": 2})
        >>> table.settings, table.stated
        ({'epochs': 2}, {'settings': {'epochs': 300}})
    """
    arguments = {key: as_yaml(value) for key, value in arguments.items()}
    of_table = {key: arguments[key] for key in ("data", "recipe") if key in arguments}
    evaluation = {key: arguments[key] for key in table.evaluation if key in arguments}
    settings = {key: value for key, value in arguments.items() if key not in of_table | evaluation}
    changed = dataclasses.replace(
        table,
        **of_table,
        settings={**table.settings, **settings},
        evaluation={**table.evaluation, **evaluation},
    )
    differing = {key: before for key in TRAINING_KEYS if getattr(changed, key) != (before := getattr(table, key))}
    return dataclasses.replace(changed, stated={**differing, **table.stated})


def as_yaml(value: Any) -> Any:
    """Return a value with lists for tuples."""
    if isinstance(value, Mapping):
        return {key: as_yaml(item) for key, item in value.items()}
    return [as_yaml(item) for item in value] if isinstance(value, tuple | list) else value
