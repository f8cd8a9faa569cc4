"""A paper's figures beside ours, in its units: percent, millions of parameters."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from akyolo.cost import Cost
from akyolo.experiments.spec.rows import COUNTS, TableRow
from akyolo.experiments.table.tables import COSTS, Entry, aligned, cost_cells, mean_cell, number_cell

PERCENT = 100
NAMES, DECIMALS = {"params_m": "params (M)", "gflops": "GFLOPs"}, {"params_m": 2, "gflops": 1}


def printed_metrics(rows: Sequence[TableRow]) -> list[str]:
    """What is printed of any of the rows but the size of its model; nothing where there is no paper."""
    return list(dict.fromkeys(name for row in rows for name in row.printed if name not in COUNTS))


def markdown_beside(
    rows: Sequence[TableRow], entries: Sequence[Entry], counts: Mapping[str, Cost], seeds: int, ours: str
) -> str:
    """Two tables: each metric and count as paper, ours and difference; and what ours cost.

    Args:
        rows: of the spec.
        entries: one a row, in the same order.
        counts: of their models, as the paper counts, by row.
        seeds: how many the spec asks for.
        ours: head of our columns.
    """
    metrics = printed_metrics(rows)
    counted = [name for name in COUNTS if any(name in row.printed for row in rows)]
    heads = [head for name in metrics for head in (f"{name}: paper", ours, "difference")]
    heads += [head for name in counted for head in (f"{NAMES[name]}: paper", "ours")]
    lines = [["row", *heads]]
    for row, entry in zip(rows, entries, strict=True):
        cells = [cell for name in metrics for cell in _metric(row, entry, name, seeds)]
        lines.append([row.row, *cells, *_counts(row, counts.get(row.row), counted)])
    costs = [["row", *COSTS], *([entry.row, *cost_cells(entry)] for entry in entries)]
    return f"{aligned(lines)}\n{aligned(costs)}"


def difference(row: TableRow, entry: Entry, metric: str) -> float | None:
    """Ours less the paper's, in points."""
    if metric not in row.printed or metric not in entry.metrics:
        return None
    return PERCENT * entry.metrics[metric].mean - row.printed[metric]


def as_json_beside(rows: Sequence[TableRow], entries: Sequence[Entry], counts: Mapping[str, Cost]) -> dict[str, Any]:
    """By row: what is printed, the differences in points, and our counts."""
    return {
        row.row: {
            "printed": dict(row.printed),
            "difference": {name: difference(row, entry, name) for name in printed_metrics(rows)},
            "counted": dataclasses.asdict(counts[row.row]) if row.row in counts else None,
            "note": row.note,
        }
        for row, entry in zip(rows, entries, strict=True)
    }


def _metric(row: TableRow, entry: Entry, name: str, seeds: int) -> list[str]:
    less = difference(row, entry, name)
    ours = mean_cell(entry, name, seeds, PERCENT, 2)
    return [number_cell(row.printed.get(name), 1), ours, "-" if less is None else f"{less:+.2f}"]


def _counts(row: TableRow, ours: Cost | None, counted: Sequence[str]) -> list[str]:
    values = {"params_m": ours.params / 1e6, "gflops": ours.gflops} if ours else {}
    return [
        number_cell(number, DECIMALS[name]) for name in counted for number in (row.printed.get(name), values.get(name))
    ]
