"""What a command will run, before it does."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from akyolo.errors import ConfigError
from akyolo.experiments.run.deviations import changes, other_arguments, words
from akyolo.experiments.run.records import Record, read_record
from akyolo.experiments.run.runs import RECORD, epochs_done, is_being_run, run_folder
from akyolo.experiments.spec.rows import Spec, TableRow, runs_in_order

DONE, RUNNING, RESUMES, TO_RUN = "done", "being run", "resumes", "to run"
UNKNOWN = "unknown (no record of such a step on a GPU)"


@dataclass(frozen=True)
class PlannedRun:
    """A run, what becomes of it, and how many epochs of it are there."""

    row: TableRow
    seed: int
    state: str
    epochs: int = 0


def planned(folder: Path, spec: Spec, rows: Iterable[str]) -> list[PlannedRun]:
    """The runs of these rows of a table in `folder`, in order."""
    names = set(rows)
    return [_planned(folder, row, seed) for row, seed in runs_in_order(spec) if row.row in names]


def lines(folder: Path, spec: Spec, runs: Sequence[PlannedRun]) -> Iterator[str]:
    """A table's part of the plan, as text."""
    row = spec.rows[0]
    settings = ", ".join(f"{key} {value}" for key, value in row.settings.items())
    evaluation = ", ".join(f"{key} {value}" for key, value in row.evaluation.items())
    yield f"table {row.table} in {folder}"
    yield f"  data        {_data(row)}"
    yield f"  training    recipe {row.recipe or 'of the data set or the model'}{', ' if settings else ''}{settings}"
    yield f"  evaluation  protocol {row.protocol}{', ' if evaluation else ''}{evaluation}"
    if row.assumed:
        yield f"  assumed     {', '.join(row.assumed)}: the paper does not say"
    if overridden := _overridden(row):
        yield f"  overridden  {overridden}"
    if changed := words(changes(row, ())):
        yield f"  {changed}"
    for one in dict.fromkeys(run.row.row for run in runs):
        states = (f"seed {run.seed} {run.state}" for run in runs if run.row.row == one)
        yield f"  {one:<24} {', '.join(states)}"
    names = {run.row.row for run in runs}
    yield from (f"  note: {one.row}: {one.note}" for one in spec.rows if one.row in names and one.note)


def total(runs: Sequence[PlannedRun], measured: Mapping[Path, Record]) -> str:
    """How many runs, and GPU-hours where a step of every one of them was measured on a GPU.

    Args:
        runs: of all tables.
        measured: records of GPUs, by file.
    """
    states = [run.state for run in runs]
    known = [DONE, *([RUNNING] if RUNNING in states else ()), RESUMES, TO_RUN]
    counts = (f"{states.count(state)} {state}" for state in known)
    ahead = [run for run in runs if run.state != DONE]
    sources = [_alike(run.row, measured) for run in ahead]
    hours = UNKNOWN
    if found := [file for file in sources if file]:
        unknown = f", and {len(ahead) - len(found)} runs unknown" if len(found) < len(ahead) else ""
        steps = ", ".join(f"{file} ({_step(measured[file])})" for file in dict.fromkeys(found))
        sum_of = sum(_hours(run, measured[file]) for run, file in zip(ahead, sources, strict=True) if file)
        hours = f"{sum_of:.1f}{unknown}; from {steps}"
    return f"{len(runs)} runs: {', '.join(counts)}\nGPU-hours: {hours if ahead else 'none'}"


def gpu_records(folder: Path) -> dict[Path, Record]:
    """All records below a folder of trainings on a GPU, by file."""
    found = {}
    for file in sorted(folder.rglob(RECORD)):
        try:
            record = read_record(file)
        except ConfigError:
            continue  # the table that it belongs to refuses it
        if record.hardware.get("gpu"):
            found[file] = record
    return found


def _planned(folder: Path, row: TableRow, seed: int) -> PlannedRun:
    home = run_folder(folder, row.row, seed)
    if (home / RECORD).exists():
        return PlannedRun(row, seed, DONE)
    begun = (home / "weights" / "last.pt").exists()
    state = RUNNING if is_being_run(home) else RESUMES if begun else TO_RUN
    return PlannedRun(row, seed, state, epochs_done(home) if begun else 0)


def _data(row: TableRow) -> str:
    stated = row.stated.get("data", row.data)
    if row.data != stated:
        return f"{row.data} for {stated}"
    if row.prepare:
        return f"{row.data}, not named yet: data=FILE (akyolo data prepare {row.prepare})"
    return row.data or "the embedded shapes"


def _overridden(row: TableRow) -> str:
    """Everything that is not the spec's, whether it matters or not."""
    pairs = [f"{key}={used}" for key, used, _ in other_arguments(row)]
    return ", ".join([*pairs, *(f"{key}={getattr(row, key)}" for key in ("data", "recipe") if key in row.stated)])


def _alike(row: TableRow, measured: Mapping[Path, Record]) -> Path | None:
    """A record of a training whose epochs take as long."""
    return next((file for file, record in measured.items() if _key(record.asked) == _key(row.asked())), None)


def _key(asked: Mapping[str, Any]) -> tuple[Any, ...]:
    """What decides the time of an epoch: the model, the data, the size of images and of batches."""
    data = asked.get("stated", {}).get("data", asked["data"])
    sizes = (asked["settings"].get(key) for key in ("imgsz", "batch", "fraction", "amp"))
    return (asked["base"], asked["swap"], data, asked["recipe"], *sizes)


def _hours(run: PlannedRun, record: Record) -> float:
    """Of the epochs that are still to come."""
    epochs = run.row.settings.get("epochs", record.settings["epochs"]) - run.epochs
    return float(epochs * record.seconds_per_epoch / 3600)


def _step(record: Record) -> str:
    return f"{record.seconds_per_epoch:.1f} s per epoch on {record.hardware['gpu']}"
