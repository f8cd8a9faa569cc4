"""Describe what a command will run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from akyolo.errors import ConfigError
from akyolo.experiments.run.deviations import describe_deviations, find_deviations, overridden_arguments
from akyolo.experiments.run.records import Record, read_record
from akyolo.experiments.run.runs import RECORD, count_epochs, is_being_run, run_folder
from akyolo.experiments.spec.table_spec import TableRun, TableSpec

DONE, RUNNING, RESUMES, TO_RUN = "done", "being run", "resumes", "to run"
UNKNOWN = "unknown (no record of such a step on a GPU)"


@dataclass(frozen=True)
class PlannedRun:
    """A run, its state, and its finished epochs."""

    run: TableRun
    state: str
    epochs: int = 0


def plan_runs(folder: Path, table: TableSpec, rows: Iterable[str]) -> list[PlannedRun]:
    """Return the runs of rows with their states."""
    names = set(rows)
    return [_plan_run(folder, run) for run in table.runs() if run.row.row in names]


def describe_plan(folder: Path, table: TableSpec, planned: Sequence[PlannedRun]) -> Iterator[str]:
    """Yield the lines of a table's plan."""
    settings = ", ".join(f"{key} {value}" for key, value in table.settings.items())
    evaluation = ", ".join(f"{key} {value}" for key, value in table.evaluation.items())
    yield f"table {table.table} in {folder}"
    yield f"  data        {_describe_data(table)}"
    yield f"  training    recipe {table.recipe or 'of the data set or the model'}{', ' if settings else ''}{settings}"
    yield f"  evaluation  protocol {table.protocol}{', ' if evaluation else ''}{evaluation}"
    if table.assumed:
        yield f"  assumed     {', '.join(table.assumed)}: the paper does not say"
    if overridden := _describe_overridden(table):
        yield f"  overridden  {overridden}"
    if deviations := describe_deviations(find_deviations(table, ())):
        yield f"  {deviations}"
    names = dict.fromkeys(planned_run.run.row.row for planned_run in planned)
    for name in names:
        states = (f"seed {plan.run.seed} {plan.state}" for plan in planned if plan.run.row.row == name)
        yield f"  {name:<24} {', '.join(states)}"
    yield from (f"  note: {row.row}: {row.note}" for row in table.rows if row.row in names and row.note)


def describe_total(planned: Sequence[PlannedRun], measured: Mapping[Path, Record]) -> str:
    """Return the number of runs and GPU-hours.

    Args:
        planned: the runs of all tables.
        measured: records of trainings on GPUs, by file.
    """
    states = [plan.state for plan in planned]
    named_states = [DONE, *([RUNNING] if RUNNING in states else ()), RESUMES, TO_RUN]
    counts = (f"{states.count(state)} {state}" for state in named_states)
    ahead = [plan for plan in planned if plan.state != DONE]
    sources = [_find_equal_training(plan.run, measured) for plan in ahead]
    hours = UNKNOWN
    if files := [file for file in sources if file]:
        unknown = f", and {len(ahead) - len(files)} runs unknown" if len(files) < len(ahead) else ""
        steps = ", ".join(f"{file} ({_describe_step(measured[file])})" for file in dict.fromkeys(files))
        total = sum(_hours(plan, measured[file]) for plan, file in zip(ahead, sources, strict=True) if file)
        hours = f"{total:.1f}{unknown}; from {steps}"
    return f"{len(planned)} runs: {', '.join(counts)}\nGPU-hours: {hours if ahead else 'none'}"


def read_gpu_records(folder: Path) -> dict[Path, Record]:
    """Return the records of GPUs below `folder`."""
    records = {}
    for file in sorted(folder.rglob(RECORD)):
        try:
            record = read_record(file)
        except ConfigError:
            continue  # the command that runs its table refuses it
        if record.hardware.get("gpu"):
            records[file] = record
    return records


def _plan_run(folder: Path, run: TableRun) -> PlannedRun:
    home = run_folder(folder, run.row.row, run.seed)
    if (home / RECORD).exists():
        return PlannedRun(run, DONE)
    has_begun = (home / "weights" / "last.pt").exists()
    state = RUNNING if is_being_run(home) else RESUMES if has_begun else TO_RUN
    return PlannedRun(run, state, count_epochs(home) if has_begun else 0)


def _describe_data(table: TableSpec) -> str:
    if table.data != table.stated_data:
        return f"{table.data} for {table.stated_data}"
    if table.unprepared:
        return f"{table.data}, not named yet: data=FILE (akyolo data prepare {table.unprepared.prepare})"
    return table.data or "the embedded shapes"


def _describe_overridden(table: TableSpec) -> str:
    """Return every overridden argument as `key=value`."""
    pairs = [f"{key}={used}" for key, used, _ in overridden_arguments(table)]
    return ", ".join([*pairs, *(f"{key}={getattr(table, key)}" for key in ("data", "recipe") if key in table.stated)])


def _find_equal_training(run: TableRun, measured: Mapping[Path, Record]) -> Path | None:
    """Return a record whose epochs took as long."""
    key = _cost_of_epoch(run.requested())
    return next((file for file, record in measured.items() if _cost_of_epoch(record.asked) == key), None)


def _cost_of_epoch(requested: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what decides the time of an epoch."""
    data = requested.get("stated", {}).get("data", requested["data"])
    sizes = (requested["settings"].get(key) for key in ("imgsz", "batch", "fraction", "amp"))
    return (requested["base"], requested["swap"], data, requested["recipe"], *sizes)


def _hours(plan: PlannedRun, record: Record) -> float:
    """Return the hours of the remaining epochs."""
    epochs = plan.run.table.settings.get("epochs", record.settings["epochs"]) - plan.epochs
    return float(epochs * record.seconds_per_epoch / 3600)


def _describe_step(record: Record) -> str:
    return f"{record.seconds_per_epoch:.1f} s per epoch on {record.hardware['gpu']}"
