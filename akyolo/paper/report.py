"""What came out of a series so far: table.md, table.json and plot.png in its folder."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from akyolo.metrics.protocols import headline
from akyolo.paper.figures import plot
from akyolo.paper.records import Record
from akyolo.paper.rows import Spec, TableRow
from akyolo.paper.runs import run_folder
from akyolo.paper.speed import speed
from akyolo.paper.tables import as_json, entries, markdown
from akyolo.upstream.atomic import AtomicPath

TABLE, DATA, PLOT, SPEED = "table.md", "table.json", "plot.png", "speed.json"
FORMAT = 1
OF_A_RUN = ("seed", "name", "offset_lr")


def report(folder: Path, spec: Spec, records: Sequence[Record]) -> dict[str, Any]:
    """Write all three, each as a whole; returns what table.json holds."""
    measured = _measured(folder)
    ms = {row: times["median_ms"] for row, times in measured["rows"].items()} if measured else {}
    protocol = spec.rows[0].protocol
    metrics = headline(protocol)
    found = entries([row.row for row in spec.rows], records, metrics, ms)
    about = _about(spec, records)
    table = {
        "format": FORMAT,
        "table": spec.rows[0].table,
        **about,
        "seeds": list(spec.seeds),
        "rows": as_json(found),
        "speed": measured,
    }
    text = "\n".join(
        [f"# {_title(about, spec)}", "", markdown(found, metrics, len(spec.seeds)), *_notes(about, protocol), ""]
    )
    for name, content in (
        (DATA, (json.dumps(table, indent=1) + "\n").encode()),
        (TABLE, text.encode()),
        (PLOT, plot(found, metrics[-1], _title(about, spec))),
    ):
        (AtomicPath(folder) / name).write_bytes(content)
    return table


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


def _about(spec: Spec, records: Sequence[Record]) -> dict[str, Any]:
    """What all runs have in common, as it was used once there is a record."""
    row: TableRow = spec.rows[0]
    used = records[0].settings if records else row.settings
    return {
        "base": row.base,
        "where": next((one.swap.where for one in spec.rows if one.swap), None),
        "data": row.data or "embedded shapes",
        "recipe": used.get("recipe", row.recipe),
        **{key: used.get(key) for key in ("epochs", "batch", "imgsz")},
        "images": records[0].images if records else None,
        "differing": _differing(records),
        "labels": _distinct(record.labels for record in records),
        "hardware": _distinct(record.hardware for record in records),
        "versions": _distinct(record.versions for record in records),
    }


def _differing(records: Sequence[Record]) -> list[str]:
    """Training arguments, but those of a run, that were not the same in all of them; a row without movers has no rate
    of theirs.
    """
    seen = [{k: v for k, v in record.settings.items() if k not in OF_A_RUN} for record in records]
    return [key for key in (seen[0] if seen else ()) if len(_distinct(one.get(key) for one in seen)) > 1]


def _distinct(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _title(about: dict[str, Any], spec: Spec) -> str:
    epochs = f", {about['epochs']} epochs" if about["epochs"] else ""
    where = f" ({about['where']})" if about["where"] else ""
    return f"{about['base']}{where} on {about['data']}{epochs}, seeds {', '.join(map(str, spec.seeds))}"


def _notes(about: dict[str, Any], protocol: str) -> list[str]:
    size = f" at {about['imgsz']} px" if about["imgsz"] else ""
    notes = [
        f"Metrics: best.pt on the validation images by protocol {protocol}, mean ± standard deviation (n - 1).",
        f"Parameters and GFLOPs: as `deployed` (akyolo info){size}. ms / image: the network alone, fused, float32, "
        "batch 1, median of interleaved rounds; ratio: to the first row.",
        "s / epoch: median of a run, validation included, mean over seeds. Peak memory: of the training, what CUDA "
        "allocated, on CPU the resident set of the process; the most of all seeds.",
    ]
    if about["differing"]:
        notes.append(f"Settings DIFFER between runs: {', '.join(about['differing'])}.")
    for what, key in (("Labels", "labels"), ("Machine", "hardware"), ("Versions", "versions")):
        if found := about[key]:
            differ = " DIFFER between runs" if len(found) > 1 else ""
            notes.append(f"{what}{differ}: {' | '.join(map(_line, found))}.")
    return [f"- {note}" for note in notes]


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items() if item is not None)
    return str(value)
