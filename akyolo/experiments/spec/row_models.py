"""Build the model YAMLs of rows."""

import copy
from collections.abc import Iterable
from typing import Any

from akyolo.experiments.spec.table_spec import TableRow
from akyolo.swapping import swap
from akyolo.upstream.model_yaml import read_model_yaml


def read_models(rows: Iterable[TableRow], bases: dict[str, dict[str, Any]] | None = None) -> dict[str, dict[str, Any]]:
    """Return the model YAMLs by row.

    Args:
        rows: of different names.
        bases: model YAMLs by name, as far as they have been read; others are added. It serves several tables that
            have the same bases.

    Raises:
        RowError: a base cannot be read, or does not take the operator.
    """
    bases = {} if bases is None else bases
    return {row.row: read_model(row, bases) for row in rows}


def read_model(row: TableRow, bases: dict[str, dict[str, Any]] | None = None) -> dict[str, Any]:
    """Return the model YAML of one row.

    Args and errors are those of `read_models`.
    """
    base = read_base(row, {} if bases is None else bases)
    return swap(base, row.swap)[0] if row.swap else copy.deepcopy(base)


def read_base(row: TableRow, bases: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the base of a row.

    It is read once and kept in `bases`.
    """
    if row.base not in bases:
        bases[row.base] = read_model_yaml(row.base)
    return bases[row.base]
