"""Turn records into a table."""

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
    """The distribution of a metric over seeds.

    The values are in the order of the seeds.
    """

    values: tuple[float, ...]
    mean: float
    std: float | None  # of the sample (n - 1); None for a single seed


@dataclass(frozen=True)
class Entry:
    """The results of one row.

    Without a run that is over there are no seeds, and every number is None.

    Args:
        row: its name.
        seeds: of the runs that are over.
        metrics: fractions by name, without metrics that one of the runs could not measure.
        params: parameters of the deployed model.
        gflops: of the deployed model, for one image of the training's size.
        ms: median milliseconds of one image; None until it is measured.
        ms_ratio: `ms` divided by that of the first row of the table.
        seconds_per_epoch: median over the epochs of a run, mean over seeds.
        peak_bytes: memory of the training, the maximum over seeds.
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
    """Return mean and deviation of values.

    There is at least one value. The deviation is that of a sample (n - 1).

    Example:
        >>> from akyolo.experiments.table.tables import spread
        >>> spread([1.0, 3.0]).mean, round(spread([1.0, 3.0]).std, 3), spread([0.5]).std
        (2.0, 1.414, None)
    """
    return Spread(tuple(values), statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None)


def entries(
    rows: Sequence[str], records: Sequence[Record], metrics: Sequence[str], ms: Mapping[str, float]
) -> list[Entry]:
    """Return the results of each row.

    Args:
        rows: their names.
        records: of any of these rows.
        metrics: names of metrics of the table's protocol.
        ms: milliseconds of an image by row, for the rows that were timed.
    """
    return [_entry(row, [r for r in records if r.row == row], metrics, ms.get(row), ms.get(rows[0])) for row in rows]


def _entry(
    row: str, records: Sequence[Record], metrics: Sequence[str], ms: float | None, first_ms: float | None
) -> Entry:
    if not records:
        return Entry(row)
    by_seed = [record.metrics[record.asked["protocol"]] for record in records]
    return Entry(
        row=row,
        seeds=tuple(record.seed for record in records),
        metrics={
            name: spread(values) for name in metrics if (values := _numbers(values.get(name) for values in by_seed))
        },
        params=records[0].params,
        gflops=records[0].gflops,
        ms=ms,
        ms_ratio=ms / first_ms if ms and first_ms else None,
        seconds_per_epoch=statistics.mean(record.seconds_per_epoch for record in records),
        peak_bytes=max((record.peak_bytes or 0 for record in records), default=0) or None,
    )


def _numbers(values: Iterable[float | None]) -> list[float]:
    """Return values if none is missing.

    Otherwise the list is empty.
    """
    candidates = list(values)
    numbers = [value for value in candidates if value is not None]
    return numbers if len(numbers) == len(candidates) else []


def markdown(entries: Sequence[Entry], metrics: Sequence[str], seeds: int) -> str:
    """Return the table as Markdown.

    A mean over fewer than `seeds` runs says so.
    """
    return aligned([["row", *metrics, *HEADS], *([entry.row, *_cells(entry, metrics, seeds)] for entry in entries)])


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return cells as an aligned Markdown table.

    The first row is the head.

    Example:
        >>> from akyolo.experiments.table.tables import aligned
        >>> print(aligned([["row", "mAP"], ["AKConv:5", "0.5"]]), end="")
        | row      | mAP |
        | -------- | --- |
        | AKConv:5 | 0.5 |
    """
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
    """Return mean and deviation as a cell.

    The cell says so if there are fewer than `seeds` runs.
    """
    if not entry.seeds:
        return NOT_RUN
    if metric not in entry.metrics:
        return NOT_MEASURED
    over_seeds = entry.metrics[metric]
    deviation = "" if over_seeds.std is None else f" ± {scale * over_seeds.std:.{decimals}f}"
    fewer = f" (n={len(entry.seeds)})" if len(entry.seeds) < seeds else ""
    return f"{scale * over_seeds.mean:.{decimals}f}{deviation}{fewer}"


def cost_cells(entry: Entry) -> list[str]:
    """Return the cells of the columns `COSTS`."""
    if not entry.seeds:
        return [NOT_RUN] * len(COSTS)
    mib = entry.peak_bytes and entry.peak_bytes / 2**20
    numbers = ((entry.ms, 1), (entry.ms_ratio, 2), (entry.seconds_per_epoch, 1), (mib, 0))
    return [number_cell(number, decimals) for number, decimals in numbers]


def number_cell(number: float | None, decimals: int) -> str:
    """Return a number as a cell; a dash for None."""
    return NOT_MEASURED if number is None else f"{number:.{decimals}f}"


def as_json(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return the entries as mappings, with all digits."""
    return [dataclasses.asdict(entry) for entry in entries]
