"""Parameters and GFLOPs of the paper's rows, beside what it prints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from akyolo.cost import Cost, paper_cost
from akyolo.experiments.run.runs import model_of
from akyolo.experiments.spec.rows import TableRow
from akyolo.registry import is_registered
from akyolo.upstream.build import build_detector
from akyolo.upstream.logs import silence

SIDE = 640  # pixels, at which the paper counts
PARAMS_STEP, GFLOPS_STEP = Decimal("0.01"), Decimal("0.1")  # what the paper prints: millions, and GFLOPs


@dataclass(frozen=True)
class StaticResult:
    """One row: ours under the `paper` convention, unrounded; None where there is nothing to count or to compare."""

    table: int | str
    row: str
    params: int | None
    gflops: float | None
    paper_params_m: float | None
    paper_gflops: float | None
    match_params: bool | None
    match_gflops: bool | None
    note: str


def static_results(rows: Sequence[TableRow]) -> Iterator[StaticResult]:
    """Build each row and count it, one after the other."""
    for row in rows:
        there = row.swap is None or is_registered(row.swap.op)
        yield _compared(row, counted(row) if there else None)


def counted(row: TableRow) -> Cost:
    """Its model for the classes of its data set, as the paper counts."""
    with silence():
        cfg = model_of(row)
        return paper_cost(build_detector({**cfg, "nc": row.classes} if row.classes else cfg), SIDE, SIDE)


def _compared(row: TableRow, ours: Cost | None) -> StaticResult:
    params_m, gflops = row.printed.get("params_m"), row.printed.get("gflops")
    notes = {"operator not there yet": ours is None, "not printed": params_m is None, row.note: bool(row.note)}
    return StaticResult(
        table=row.table,
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
    """Whether ours, rounded half up as it is printed, is what is printed."""
    if printed is None:
        return None
    return ours.quantize(step, ROUND_HALF_UP) == Decimal(str(printed)).quantize(step)
