"""What came out of a series so far: table.md, table.json and plot.png in its folder."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from akyolo.cost import Cost
from akyolo.experiments.run.deviations import Change, changes, words
from akyolo.experiments.run.records import Record
from akyolo.experiments.run.runs import run_folder
from akyolo.experiments.spec.rows import COUNTS, Spec
from akyolo.experiments.table.counts import counted
from akyolo.experiments.table.figures import plot
from akyolo.experiments.table.notes import about, notes, title
from akyolo.experiments.table.paper_columns import PERCENT, as_json_beside, markdown_beside, printed_metrics
from akyolo.experiments.table.tables import Entry, as_json, entries, markdown
from akyolo.experiments.table.timing import speed
from akyolo.files import AtomicPath
from akyolo.scoring.protocols import headline

TABLE, DATA, PLOT, SPEED = "table.md", "table.json", "plot.png", "speed.json"
FORMAT = 1


def report(folder: Path, spec: Spec, records: Sequence[Record], counts: Mapping[str, Cost]) -> dict[str, Any]:
    """Write all three, each as a whole; returns what table.json holds.

    Args:
        folder: of the series.
        spec: of one table.
        records: of its runs, as far as they are over.
        counts: see `counts_beside`.
    """
    measured, changed, facts = _measured(folder), changes(spec.rows[0], records), about(spec, records)
    found = _entries(spec, records, measured)
    table = {
        "format": FORMAT,
        "table": spec.rows[0].table,
        **facts,
        "seeds": list(spec.seeds),
        "rows": as_json(found),
        "speed": measured,
    }
    if printed_metrics(spec.rows):
        table |= {"paper": spec.paper, "beside": as_json_beside(spec.rows, found, counts)}
    if changed:
        table["changed"] = [change.what for change in changed]
    heading = title(facts, spec)
    below = notes(facts, spec, (measured or {}).get("hardware"))
    text = "\n".join([f"# {heading}", "", _rendered(spec, found, changed, counts), *below, ""])
    metric = headline(spec.rows[0].protocol)[-1]
    above = "\n".join(filter(None, [heading, words(changed)]))
    for name, content in (
        (DATA, (json.dumps(table, indent=1) + "\n").encode()),
        (TABLE, text.encode()),
        (PLOT, plot(found, metric, above, _printed(spec, metric))),
    ):
        (AtomicPath(folder) / name).write_bytes(content)
    return table


def rendered(folder: Path, spec: Spec, records: Sequence[Record], counts: Mapping[str, Cost]) -> str:
    """The table, beside the paper's where its figures are printed; before it, what was other than it states."""
    found = _entries(spec, records, _measured(folder))
    return _rendered(spec, found, changes(spec.rows[0], records), counts)


def _rendered(spec: Spec, found: Sequence[Entry], changed: Sequence[Change], counts: Mapping[str, Cost]) -> str:
    warning = f"**{words(changed)}.**\n\n" if changed else ""
    if not printed_metrics(spec.rows):
        return warning + markdown(found, headline(spec.rows[0].protocol), len(spec.seeds))
    ours = f"ours ({'shortened' if any(change.less for change in changed) else 'changed'})" if changed else "ours"
    return warning + markdown_beside(spec.rows, found, counts, len(spec.seeds), ours)


def counts_beside(spec: Spec) -> dict[str, Cost]:
    """Of the rows whose size a paper prints: what its convention says of our models, by row."""
    return {row.row: counted(row) for row in spec.rows if any(name in row.printed for name in COUNTS)}


def _entries(spec: Spec, records: Sequence[Record], measured: dict[str, Any] | None) -> list[Entry]:
    ms = {row: times["median_ms"] for row, times in measured["rows"].items()} if measured else {}
    metrics = dict.fromkeys([*headline(spec.rows[0].protocol), *printed_metrics(spec.rows)])
    return entries([row.row for row in spec.rows], records, list(metrics), ms)


def _printed(spec: Spec, metric: str) -> dict[str, float]:
    """Fractions, by row."""
    return {row.row: row.printed[metric] / PERCENT for row in spec.rows if metric in row.printed}


def measure_speed(folder: Path, spec: Spec, records: Sequence[Record]) -> None:
    """Time one model of each row whose weights are there; nothing where all of them were timed together before."""
    models = {record.row: record for record in reversed(records)}  # of the first seed
    weights = {row.row: file for row in spec.rows if row.row in models and (file := _weights(folder, models[row.row]))}
    before = _measured(folder)
    if not weights or (before and before["rows"].keys() >= weights.keys()):
        return
    device = torch.device(records[0].hardware["device"])
    if device.type == "cuda" and not torch.cuda.is_available():
        device = torch.device("cpu")  # the trainings ran elsewhere
    measured = speed(weights, records[0].settings["imgsz"], device)
    AtomicPath(folder / SPEED).write_bytes(json.dumps(measured, indent=1).encode())


def _measured(folder: Path) -> dict[str, Any] | None:
    """What `speed` found before; None where it is lost, since it can be measured again."""
    try:
        found = json.loads((folder / SPEED).read_text(encoding="utf-8"))
        return found if all("median_ms" in times for times in found["rows"].values()) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _weights(folder: Path, record: Record) -> Path | None:
    weights = run_folder(folder, record.row, record.seed) / "weights"
    return next((file for name in ("best.pt", "last.pt") if (file := weights / name).exists()), None)
