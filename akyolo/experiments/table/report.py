"""Write the results of a table.

They are table.md, table.json and plot.png in its folder.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from akyolo.cost import Cost
from akyolo.experiments.run.deviations import Deviation, describe_deviations, find_deviations
from akyolo.experiments.run.records import Record
from akyolo.experiments.run.runs import run_folder
from akyolo.experiments.spec.table_spec import TableSpec
from akyolo.experiments.table.figures import plot
from akyolo.experiments.table.notes import common_facts, notes, title
from akyolo.experiments.table.paper_columns import PERCENT, json_with_paper, markdown_with_paper, printed_metrics
from akyolo.experiments.table.tables import Entry, as_json, entries, markdown
from akyolo.experiments.table.timing import time_models
from akyolo.files import AtomicPath
from akyolo.scoring.protocols import headline

TABLE, DATA, PLOT, SPEED = "table.md", "table.json", "plot.png", "speed.json"
FORMAT = 1


def write_report(
    folder: Path, table: TableSpec, records: Sequence[Record], counts: Mapping[str, Cost]
) -> dict[str, Any]:
    """Write the files; return table.json's content.

    Args:
        folder: of the table.
        table: the table.
        records: of its runs that are over.
        counts: see `akyolo.experiments.table.counts.count_printed_rows`.
    """
    timings, deviations, facts = _read_timings(folder), find_deviations(table, records), common_facts(table, records)
    results = _entries(table, records, timings)
    content = {
        "format": FORMAT,
        "table": table.table,
        **facts,
        "seeds": list(table.seeds),
        "rows": as_json(results),
        "speed": timings,
    }
    if printed_metrics(table.rows):
        content |= {"paper": table.paper, "beside": json_with_paper(table.rows, results, counts)}
    if deviations:
        content["changed"] = [deviation.what for deviation in deviations]
    heading = title(facts, table)
    below = notes(facts, table, (timings or {}).get("hardware"))
    text = "\n".join([f"# {heading}", "", _markdown(table, results, deviations, counts), *below, ""])
    metric = headline(table.protocol)[-1]
    above = "\n".join(filter(None, [heading, describe_deviations(deviations)]))
    for name, data in (
        (DATA, (json.dumps(content, indent=1) + "\n").encode()),
        (TABLE, text.encode()),
        (PLOT, plot(results, metric, above, _printed_fractions(table, metric))),
    ):
        (AtomicPath(folder) / name).write_bytes(data)
    return content


def render(folder: Path, table: TableSpec, records: Sequence[Record], counts: Mapping[str, Cost]) -> str:
    """Return the table as Markdown.

    It begins with a warning if the runs are not as the table states.

    Args:
        folder: of the table, with the timings of its models.
        table: the table; our figures stand next to the paper's if its rows have printed figures.
        records: of its runs that are over.
        counts: see `akyolo.experiments.table.counts.count_printed_rows`.
    """
    results = _entries(table, records, _read_timings(folder))
    return _markdown(table, results, find_deviations(table, records), counts)


def _markdown(
    table: TableSpec, results: Sequence[Entry], deviations: Sequence[Deviation], counts: Mapping[str, Cost]
) -> str:
    warning = f"**{describe_deviations(deviations)}.**\n\n" if deviations else ""
    if not printed_metrics(table.rows):
        return warning + markdown(results, headline(table.protocol), len(table.seeds))
    ours = "ours"
    if deviations:
        ours = f"ours ({'shortened' if any(deviation.less for deviation in deviations) else 'changed'})"
    return warning + markdown_with_paper(table.rows, results, counts, len(table.seeds), ours)


def _entries(table: TableSpec, records: Sequence[Record], timings: dict[str, Any] | None) -> list[Entry]:
    ms = {row: times["median_ms"] for row, times in timings["rows"].items()} if timings else {}
    metrics = dict.fromkeys([*headline(table.protocol), *printed_metrics(table.rows)])
    return entries([row.row for row in table.rows], records, list(metrics), ms)


def _printed_fractions(table: TableSpec, metric: str) -> dict[str, float]:
    return {row.row: row.printed[metric] / PERCENT for row in table.rows if metric in row.printed}


def measure_speed(folder: Path, table: TableSpec, records: Sequence[Record]) -> None:
    """Time one model of each row.

    A row without weights is left out. Nothing is timed if all of them were timed together before.
    """
    models = {record.row: record for record in reversed(records)}  # of the first seed
    weights = {row.row: file for row in table.rows if row.row in models and (file := _weights(folder, models[row.row]))}
    before = _read_timings(folder)
    if not weights or (before and before["rows"].keys() >= weights.keys()):
        return
    device = torch.device(records[0].hardware["device"])
    if device.type == "cuda" and not torch.cuda.is_available():
        device = torch.device("cpu")  # the trainings ran on another machine
    timings = time_models(weights, records[0].settings["imgsz"], device)
    AtomicPath(folder / SPEED).write_bytes(json.dumps(timings, indent=1).encode())


def _read_timings(folder: Path) -> dict[str, Any] | None:
    """Return the timings, or None.

    It is None if the file is missing or damaged; the timings can be measured again.
    """
    try:
        timings = json.loads((folder / SPEED).read_text(encoding="utf-8"))
        return timings if all("median_ms" in times for times in timings["rows"].values()) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _weights(folder: Path, record: Record) -> Path | None:
    weights = run_folder(folder, record.row, record.seed) / "weights"
    return next((file for name in ("best.pt", "last.pt") if (file := weights / name).exists()), None)
