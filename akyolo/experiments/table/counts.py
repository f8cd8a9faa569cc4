"""Count models and compare with the paper."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from akyolo.cost import Cost, paper_cost
from akyolo.experiments.spec.row_models import read_model
from akyolo.experiments.spec.table_spec import COUNTS, TableRow, TableSpec
from akyolo.registry import is_registered
from akyolo.upstream.build import build_detector
from akyolo.upstream.logs import silence

SIDE = 640  # pixels; the paper counts at this image size
PARAMS_STEP, GFLOPS_STEP = Decimal("0.01"), Decimal("0.1")  # the precision of the paper: millions, and GFLOPs


@dataclass(frozen=True)
class StaticResult:
    """The counts of one row.

    `params` and `gflops` follow the `paper` convention and are not rounded. A field is None where there is nothing to
    count or to compare.
    """

    table: int | str
    row: str
    params: int | None
    gflops: float | None
    paper_params_m: float | None
    paper_gflops: float | None
    match_params: bool | None
    match_gflops: bool | None
    note: str


def count_rows(tables: Sequence[TableSpec]) -> Iterator[StaticResult]:
    """Build and count the rows of tables."""
    bases: dict[str, dict[str, Any]] = {}
    for table in tables:
        for row in table.rows:
            has_operator = row.swap is None or is_registered(row.swap.op)
            yield _compare(table, row, _count(table, row, bases) if has_operator else None)


def count_printed_rows(table: TableSpec, models: Mapping[str, Mapping[str, Any]]) -> dict[str, Cost]:
    """Return the costs that a paper prints.

    They are those of our models, by row, if a paper prints the parameters or GFLOPs of the row.

    Args:
        table: the table.
        models: the model YAML of each row, by its name.
    """
    printed = (row.row for row in table.rows if any(name in row.printed for name in COUNTS))
    return {name: count_row(table, models[name]) for name in printed}


def count_row(table: TableSpec, model_yaml: Mapping[str, Any]) -> Cost:
    """Count a model by the paper's convention.

    It is built for the classes of the table's data set.
    """
    classes = table.data_set.classes if table.data_set else None
    own_copy = copy.deepcopy(dict(model_yaml))  # upstream changes the mapping
    with silence():
        return paper_cost(build_detector({**own_copy, "nc": classes} if classes else own_copy), SIDE, SIDE)


def _count(table: TableSpec, row: TableRow, bases: dict[str, dict[str, Any]]) -> Cost:
    with silence():
        model_yaml = read_model(row, bases)
    return count_row(table, model_yaml)


def _compare(table: TableSpec, row: TableRow, ours: Cost | None) -> StaticResult:
    params_m, gflops = row.printed.get("params_m"), row.printed.get("gflops")
    notes = {"operator not there yet": ours is None, "not printed": params_m is None, row.note: bool(row.note)}
    return StaticResult(
        table=table.table,
        row=row.row,
        params=None if ours is None else ours.params,
        gflops=None if ours is None else ours.gflops,
        paper_params_m=params_m,
        paper_gflops=gflops,
        match_params=None if ours is None else _match(Decimal(ours.params) / 10**6, params_m, PARAMS_STEP),
        match_gflops=None if ours is None else _match(Decimal(ours.gflops), gflops, GFLOPS_STEP),
        note="; ".join(note for note, applies in notes.items() if applies),
    )


def _match(ours: Decimal, printed: float | None, step: Decimal) -> bool | None:
    """Return whether `ours` is what is printed.

    It is rounded half up to the precision of the paper.
    """
    if printed is None:
        return None
    return ours.quantize(step, ROUND_HALF_UP) == Decimal(str(printed)).quantize(step)
