"""Records become a table: means and standard deviations over seeds."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from akyolo.paper.records import Record

NOT_RUN, NOT_MEASURED = "not run", "-"
HEADS = ("params (M)", "GFLOPs", "ms / image", "ratio", "s / epoch", "peak MiB")


@dataclass(frozen=True)
class Spread:
    """A metric over seeds: its values in their order, their mean, and their sample standard deviation (n - 1)."""

    values: tuple[float, ...]
    mean: float
    std: float | None  # of one seed: None


@dataclass(frozen=True)
class Entry:
    """What is known of one row; None, and no seeds, where nothing is yet.

    Args:
        row: its name.
        seeds: of the runs that are over.
        metrics: by name, fractions.
        params: as deployed.
        gflops: as deployed, for one image of the training's size.
        ms: of one image, median; None before it is measured.
        ms_ratio: to the first row of the table.
        seconds_per_epoch: median of a run's epochs, mean over seeds.
        peak_bytes: of the training, the most of all seeds.
    """

    row: str
    seeds: tuple[int, ...] = ()
    metrics: Mapping[str, Spread] = dataclasses.field(default_factory=dict)
    params: int | None = None
    gflops: float | None = None
    ms: float | None = None
    ms_ratio: float | None = None
    seconds_per_epoch: float | None = None
    peak_bytes: int | None = None


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(tuple(values), statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None)


def entries(
    rows: Sequence[str], records: Sequence[Record], metrics: Sequence[str], ms: Mapping[str, float]
) -> list[Entry]:
    """One entry a row, in order.

    Args:
        rows: names.
        records: of any of them.
        metrics: names, of the one protocol of the table.
        ms: milliseconds of an image by row, as far as measured.
    """
    return [_entry(row, [r for r in records if r.row == row], metrics, ms.get(row), ms.get(rows[0])) for row in rows]


def _entry(
    row: str, records: Sequence[Record], metrics: Sequence[str], ms: float | None, first_ms: float | None
) -> Entry:
    if not records:
        return Entry(row)
    found = [record.metrics[record.asked["protocol"]] for record in records]
    seconds = [statistics.median(epoch["seconds"] for epoch in record.curve) for record in records]
    return Entry(
        row=row,
        seeds=tuple(record.seed for record in records),
        metrics={name: spread([values[name] or 0.0 for values in found]) for name in metrics},
        params=records[0].params,
        gflops=records[0].gflops,
        ms=ms,
        ms_ratio=ms / first_ms if ms and first_ms else None,
        seconds_per_epoch=statistics.mean(seconds),
        peak_bytes=max((record.peak_bytes or 0 for record in records), default=0) or None,
    )


def markdown(entries: Sequence[Entry], metrics: Sequence[str], seeds: int) -> str:
    """The table, aligned; a mean of fewer than `seeds` runs says so."""
    lines = [["row", *metrics, *HEADS], *([entry.row, *_cells(entry, metrics, seeds)] for entry in entries)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in padded)


def _cells(entry: Entry, metrics: Sequence[str], seeds: int) -> list[str]:
    if not entry.seeds:
        return [NOT_RUN] * (len(metrics) + len(HEADS))
    fewer = f" (n={len(entry.seeds)})" if len(entry.seeds) < seeds else ""
    numbers = (
        (entry.params and entry.params / 1e6, 3),
        (entry.gflops, 2),
        (entry.ms, 1),
        (entry.ms_ratio, 2),
        (entry.seconds_per_epoch, 1),
        (entry.peak_bytes and entry.peak_bytes / 2**20, 0),
    )
    means = [_mean(entry.metrics[name]) + fewer for name in metrics]
    return means + [NOT_MEASURED if number is None else f"{number:.{decimals}f}" for number, decimals in numbers]


def _mean(metric: Spread) -> str:
    return f"{metric.mean:.3f}" + ("" if metric.std is None else f" ± {metric.std:.3f}")


def as_json(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The entries with all their digits."""
    return [dataclasses.asdict(entry) for entry in entries]
