"""Put our figures next to a paper's.

The units are the paper's: percent, and millions of parameters.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from akyolo.cost import Cost
from akyolo.experiments.spec.table_spec import COUNTS, TableRow
from akyolo.experiments.table.tables import COSTS, Entry, aligned, cost_cells, mean_cell, number_cell

PERCENT = 100
NAMES, DECIMALS = {"params_m": "params (M)", "gflops": "GFLOPs"}, {"params_m": 2, "gflops": 1}


def printed_metrics(rows: Sequence[TableRow]) -> list[str]:
    """Return the metrics that a paper prints."""
    return list(dict.fromkeys(name for row in rows for name in row.printed if name not in COUNTS))


def markdown_with_paper(
    rows: Sequence[TableRow], entries: Sequence[Entry], counts: Mapping[str, Cost], seeds: int, ours: str
) -> str:
    """Return paper and own figures as Markdown.

    Args:
        rows: of the table.
        entries: our results for these rows, in the same order.
        counts: the cost of our models by the paper's convention, by row.
        seeds: how many seeds the table has.
        ours: the head of our columns.
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
    """Return our figure minus the paper's, in points."""
    if metric not in row.printed or metric not in entry.metrics:
        return None
    return PERCENT * entry.metrics[metric].mean - row.printed[metric]


def json_with_paper(rows: Sequence[TableRow], entries: Sequence[Entry], counts: Mapping[str, Cost]) -> dict[str, Any]:
    """Return printed figures, differences and counts, by row."""
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
    points = difference(row, entry, name)
    ours = mean_cell(entry, name, seeds, PERCENT, 2)
    return [number_cell(row.printed.get(name), 1), ours, "-" if points is None else f"{points:+.2f}"]


def _counts(row: TableRow, ours: Cost | None, counted: Sequence[str]) -> list[str]:
    values = {"params_m": ours.params / 1e6, "gflops": ours.gflops} if ours else {}
    return [
        number_cell(number, DECIMALS[name]) for name in counted for number in (row.printed.get(name), values.get(name))
    ]
