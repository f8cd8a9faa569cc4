"""The title and the notes of a table."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from akyolo.experiments.run.records import Record
from akyolo.experiments.spec.table_spec import TableSpec
from akyolo.experiments.table.paper_columns import printed_metrics

OF_A_RUN = ("seed", "name", "offset_lr")  # rows without learned offsets have no `offset_lr`
MS = "ms / image: the network only, fused, float32, batch 1, median of interleaved rounds. ratio: to the first row."


def common_facts(table: TableSpec, records: Sequence[Record]) -> dict[str, Any]:
    """Return what all runs have in common."""
    used = records[0].settings if records else table.settings
    return {
        "base": ", ".join(dict.fromkeys(row.base for row in table.rows)),
        "where": ", ".join(dict.fromkeys(str(row.swap.where) for row in table.rows if row.swap)) or None,
        "data": table.data or "embedded shapes",
        "recipe": used.get("recipe", table.recipe),
        **{key: used.get(key) for key in ("epochs", "batch", "imgsz")},
        "images": records[0].images if records else None,
        "differing": _differing_settings(records),
        "labels": _distinct(record.labels for record in records),
        "hardware": _distinct(machine for record in records for machine in _machines(record)),
        "versions": _distinct(record.versions for record in records),
    }


def _machines(record: Record) -> list[dict[str, Any]]:
    """Return the machines of a run.

    A start that ended before its first checkpoint left none.
    """
    return [*(start["hardware"] for start in record.starts if "hardware" in start), record.hardware]


def _differing_settings(records: Sequence[Record]) -> list[str]:
    """Return the arguments that differ between runs."""
    settings = [{k: v for k, v in record.settings.items() if k not in OF_A_RUN} for record in records]
    names = settings[0] if settings else {}
    return [name for name in names if len(_distinct(used.get(name) for used in settings)) > 1]


def _distinct(values: Iterable[Any]) -> list[Any]:
    distinct: list[Any] = []
    for value in values:
        if value not in distinct:
            distinct.append(value)
    return distinct


def title(facts: dict[str, Any], table: TableSpec) -> str:
    """Return the title of the table, one line."""
    number = f"Table {table.table} of {table.paper}: " if table.paper else ""
    epochs = f", {facts['epochs']} epochs" if facts["epochs"] else ""
    places = f" ({facts['where']})" if facts["where"] else ""
    return f"{number}{facts['base']}{places} on {facts['data']}{epochs}, seeds {', '.join(map(str, table.seeds))}"


def notes(facts: dict[str, Any], table: TableSpec, timed_on: dict[str, Any] | None) -> list[str]:
    """Return how the figures were measured.

    Args:
        facts: of `common_facts`.
        table: the table.
        timed_on: the machine of ms / image; None before it is measured.
    """
    about_metrics = _about_paper(table) if printed_metrics(table.rows) else _about_comparison(facts, table.protocol)
    lines = [*about_metrics, *_about_evaluation(table)]
    lines.append(
        "s / epoch: median over the epochs of a run, validation included; mean over seeds. Peak memory: what CUDA "
        "allocated during training, or the resident set of the process on CPU; maximum over seeds."
    )
    lines += [f"{row.row}: {row.note}." for row in table.rows if row.note]
    if facts["differing"]:
        lines.append(f"Settings DIFFER between runs: {', '.join(facts['differing'])}.")
    for name, key in (("Labels", "labels"), ("Machine", "hardware"), ("Versions", "versions")):
        if values := facts[key]:
            differ = " DIFFER between runs" if len(values) > 1 else ""
            lines.append(f"{name}{differ}: {' | '.join(map(_words, values))}.")
        if key == "hardware" and timed_on and timed_on not in values:
            lines.append(f"Machine of ms / image: {_words(timed_on)}.")
    return [f"- {line}" for line in lines]


def _about_comparison(facts: dict[str, Any], protocol: str) -> Iterator[str]:
    size = f" at {facts['imgsz']} px" if facts["imgsz"] else ""
    yield f"Metrics: best.pt on the validation images by protocol {protocol}, mean ± standard deviation (n - 1)."
    yield f"Parameters and GFLOPs: of the `deployed` model (akyolo info){size}. {MS}"


def _about_paper(table: TableSpec) -> Iterator[str]:
    seeds = f"{len(table.seeds)} seed{'s' * (len(table.seeds) > 1)}"
    yield f"paper: as {table.paper or 'the paper'} prints it, in percent; not measured here."
    yield (
        f"ours: best.pt on the validation images by protocol {table.protocol}, in percent, mean ± standard deviation "
        f"(n - 1) of {seeds}, unless another n is given. difference: ours minus the paper's, in points."
    )
    yield f"Parameters and GFLOPs: by the paper's convention, at 640 px (akyolo reproduce --static). {MS}"
    if "data" in table.stated:
        yield f"Data: {table.data} stands for the paper's {table.stated_data}."


def _about_evaluation(table: TableSpec) -> Iterator[str]:
    """Yield the evaluation's arguments; a comparison has none."""
    names = {"iou": "NMS IoU"}
    if table.evaluation:
        settings = ", ".join(f"{names.get(key, key)} {value}" for key, value in table.evaluation.items())
        yield f"Evaluation: protocol {table.protocol}, {settings}."
    if table.assumed:
        yield f"Assumed, since the paper does not say: {', '.join(table.assumed)}."


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items() if item is not None)
    return str(value)
