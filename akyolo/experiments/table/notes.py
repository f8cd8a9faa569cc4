"""What a table says of itself: its title, what all of its runs have in common, and its notes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from akyolo.experiments.run.records import Record
from akyolo.experiments.spec.rows import Spec, TableRow
from akyolo.experiments.table.paper_columns import printed_metrics

OF_A_RUN = ("seed", "name", "offset_lr")
MS = "ms / image: the network alone, fused, float32, batch 1, median of interleaved rounds; ratio: to the first row."


def about(spec: Spec, records: Sequence[Record]) -> dict[str, Any]:
    """What all runs have in common, as it was used once there is a record."""
    row: TableRow = spec.rows[0]
    used = records[0].settings if records else row.settings
    return {
        "base": ", ".join(dict.fromkeys(one.base for one in spec.rows)),
        "where": ", ".join(dict.fromkeys(str(one.swap.where) for one in spec.rows if one.swap)) or None,
        "data": row.data or "embedded shapes",
        "recipe": used.get("recipe", row.recipe),
        **{key: used.get(key) for key in ("epochs", "batch", "imgsz")},
        "images": records[0].images if records else None,
        "differing": _differing(records),
        "labels": _distinct(record.labels for record in records),
        "hardware": _distinct(machine for record in records for machine in _machines(record)),
        "versions": _distinct(record.versions for record in records),
    }


def _machines(record: Record) -> list[dict[str, Any]]:
    """Of all its starts; one that ended before its first checkpoint left nothing."""
    return [*(start["hardware"] for start in record.starts if "hardware" in start), record.hardware]


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


def title(facts: dict[str, Any], spec: Spec) -> str:
    """One line."""
    table = f"Table {spec.rows[0].table} of {spec.paper}: " if spec.paper else ""
    epochs = f", {facts['epochs']} epochs" if facts["epochs"] else ""
    where = f" ({facts['where']})" if facts["where"] else ""
    return f"{table}{facts['base']}{where} on {facts['data']}{epochs}, seeds {', '.join(map(str, spec.seeds))}"


def notes(facts: dict[str, Any], spec: Spec, timed: dict[str, Any] | None) -> list[str]:
    """How the numbers came about, one line each; `timed` is the machine of ms / image, None before it is measured."""
    beside = bool(printed_metrics(spec.rows))
    found = [*(_beside(spec) if beside else _alone(facts, spec.rows[0].protocol)), *_evaluated(spec.rows[0])]
    found.append(
        "s / epoch: median of a run, validation included, mean over seeds. Peak memory: of the training, what CUDA "
        "allocated, on CPU the resident set of the process; the most of all seeds."
    )
    found += [f"{row.row}: {row.note}." for row in spec.rows if row.note]
    if facts["differing"]:
        found.append(f"Settings DIFFER between runs: {', '.join(facts['differing'])}.")
    for what, key in (("Labels", "labels"), ("Machine", "hardware"), ("Versions", "versions")):
        if values := facts[key]:
            differ = " DIFFER between runs" if len(values) > 1 else ""
            found.append(f"{what}{differ}: {' | '.join(map(_line, values))}.")
        if key == "hardware" and timed and timed not in values:
            found.append(f"Machine of ms / image: {_line(timed)}.")
    return [f"- {note}" for note in found]


def _alone(facts: dict[str, Any], protocol: str) -> Iterator[str]:
    size = f" at {facts['imgsz']} px" if facts["imgsz"] else ""
    yield f"Metrics: best.pt on the validation images by protocol {protocol}, mean ± standard deviation (n - 1)."
    yield f"Parameters and GFLOPs: as `deployed` (akyolo info){size}. {MS}"


def _beside(spec: Spec) -> Iterator[str]:
    row = spec.rows[0]
    seeds = f"{len(spec.seeds)} seed{'s' * (len(spec.seeds) > 1)}"
    yield f"paper: as {spec.paper or 'the paper'} prints it, in percent; not measured here."
    yield (
        f"ours: best.pt on the validation images by protocol {row.protocol}, in percent, mean ± standard deviation "
        f"(n - 1) of {seeds} where no other n is given. difference: ours less the paper's, in points."
    )
    yield f"Parameters and GFLOPs: as the paper counts, at 640 px (akyolo reproduce --static). {MS}"
    if "data" in row.stated:
        yield f"Data: {row.data} stands for the paper's {row.stated['data']}."


def _evaluated(row: TableRow) -> Iterator[str]:
    """A comparison leaves evaluation to the defaults."""
    names = {"iou": "NMS IoU"}
    if row.evaluation:
        settings = ", ".join(f"{names.get(key, key)} {value}" for key, value in row.evaluation.items())
        yield f"Evaluation: protocol {row.protocol}, {settings}."
    if row.assumed:
        yield f"Assumed, since the paper does not say: {', '.join(row.assumed)}."


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items() if item is not None)
    return str(value)
