"""Plot a table."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from akyolo.experiments.table.tables import Entry, Spread

COLOUR, DOTS, PAPER = "#33658a", "#999999", "#c0392b"
INCHES_PER_ROW = 0.45


def plot(entries: Sequence[Entry], metric: str, title: str, printed: Mapping[str, float]) -> bytes:
    """Plot metric and cost of each row.

    The left panel shows the mean, the standard deviation and a dot for each seed. The right panel shows the time of an
    image, or the parameters until that is measured.

    Args:
        entries: the rows.
        metric: the name of a metric whose values are fractions.
        title: of the figure.
        printed: what a paper prints for the metric, as a fraction, by row.

    Returns:
        The bytes of a PNG file.
    """
    from matplotlib.figure import Figure  # takes half a second, and most commands plot nothing
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(9, 1.8 + INCHES_PER_ROW * len(entries)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    figure.suptitle(title, fontsize="medium", wrap=True)
    for position, entry in enumerate(entries):
        if entry.row in printed:
            left.plot(printed[entry.row], position - 0.25, "x", color=PAPER)
        if metric in entry.metrics:
            _plot_metric(left, position, entry.metrics[metric])
        elif not entry.seeds:
            left.annotate("not run", (0.02, position), xycoords=("axes fraction", "data"), va="center", color=DOTS)
    left.set_xlabel(f"{metric} (dots: seeds; bar: standard deviation)")
    if printed:
        left.set_xlabel(f"{metric}, % (x: the paper; dots: seeds; bar: standard deviation)")
        left.xaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    left.set_yticks(range(len(entries)), [entry.row for entry in entries])
    left.set_ylim(len(entries) - 0.5, -0.5)
    left.grid(axis="x", alpha=0.3)
    _plot_costs(right, entries)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150)
    return file.getvalue()


def _plot_metric(axes: Any, position: int, spread: Spread) -> None:
    axes.plot(spread.values, [position + 0.2] * len(spread.values), "o", color=DOTS, markersize=4)
    axes.errorbar(spread.mean, position, xerr=spread.std, fmt="D", color=COLOUR, capsize=4)


def _plot_costs(axes: Any, entries: Sequence[Entry]) -> None:
    """Draw bars with their numbers, without an axis."""
    measured = any(entry.ms for entry in entries)
    values = [(entry.ms if measured else (entry.params or 0) / 1e6) or 0 for entry in entries]
    bars = axes.barh(range(len(entries)), values, height=0.5, color=COLOUR, alpha=0.6)
    axes.bar_label(bars, labels=[f"{value:.1f}" if value else "-" for value in values], padding=3)
    axes.set_title("ms / image" if measured else "parameters (M)", fontsize="small")
    axes.set_xlim(0, 1.25 * max(values, default=0) or 1)
    axes.tick_params(axis="y", left=False)
    axes.xaxis.set_visible(False)
    axes.spines[:].set_visible(False)
