"""Records become a table: means and standard deviations over seeds."""

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from akyolo.experiments.run.records import Record

NOT_RUN, NOT_MEASURED = "not run", "-"
COSTS = ("ms / image", "ratio", "s / epoch", "peak MiB")
HEADS = ("params (M)", "GFLOPs", *COSTS)


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
        metrics: by name, fractions; without those that a run had nothing to measure by.
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
    return Entry(
        row=row,
        seeds=tuple(record.seed for record in records),
        metrics={
            name: spread(values) for name in metrics if (values := _numbers(values.get(name) for values in found))
        },
        params=records[0].params,
        gflops=records[0].gflops,
        ms=ms,
        ms_ratio=ms / first_ms if ms and first_ms else None,
        seconds_per_epoch=statistics.mean(record.seconds_per_epoch for record in records),
        peak_bytes=max((record.peak_bytes or 0 for record in records), default=0) or None,
    )


def _numbers(values: Iterable[float | None]) -> list[float]:
    """All of them, or none where one is missing."""
    found = list(values)
    numbers = [value for value in found if value is not None]
    return numbers if len(numbers) == len(found) else []


def markdown(entries: Sequence[Entry], metrics: Sequence[str], seeds: int) -> str:
    """The table, aligned; a mean of fewer than `seeds` runs says so."""
    return aligned([["row", *metrics, *HEADS], *([entry.row, *_cells(entry, metrics, seeds)] for entry in entries)])


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells, the first of them the heads, as Markdown."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    ruled = [lines[0], ["-" * width for width in widths], *lines[1:]]
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in ruled)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in padded)


def _cells(entry: Entry, metrics: Sequence[str], seeds: int) -> list[str]:
    if not entry.seeds:
        return [NOT_RUN] * (len(metrics) + len(HEADS))
    means = [mean_cell(entry, name, seeds) for name in metrics]
    params = entry.params and entry.params / 1e6
    return [*means, number_cell(params, 3), number_cell(entry.gflops, 2), *cost_cells(entry)]


def mean_cell(entry: Entry, metric: str, seeds: int, scale: float = 1, decimals: int = 3) -> str:
    """Mean and spread of a metric; of fewer than `seeds` runs it says so."""
    if not entry.seeds:
        return NOT_RUN
    if metric not in entry.metrics:
        return NOT_MEASURED
    found = entry.metrics[metric]
    deviation = "" if found.std is None else f" ± {scale * found.std:.{decimals}f}"
    fewer = f" (n={len(entry.seeds)})" if len(entry.seeds) < seeds else ""
    return f"{scale * found.mean:.{decimals}f}{deviation}{fewer}"


def cost_cells(entry: Entry) -> list[str]:
    """Under `COSTS`."""
    if not entry.seeds:
        return [NOT_RUN] * len(COSTS)
    mib = entry.peak_bytes and entry.peak_bytes / 2**20
    numbers = ((entry.ms, 1), (entry.ms_ratio, 2), (entry.seconds_per_epoch, 1), (mib, 0))
    return [number_cell(number, decimals) for number, decimals in numbers]


def number_cell(number: float | None, decimals: int) -> str:
    """A number as the table has it."""
    return NOT_MEASURED if number is None else f"{number:.{decimals}f}"


def as_json(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The entries with all their digits."""
    return [dataclasses.asdict(entry) for entry in entries]
