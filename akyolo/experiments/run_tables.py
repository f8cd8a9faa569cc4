"""Check tables, run them, and report."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from akyolo.errors import AkyoloError, ConfigError, DatasetError
from akyolo.experiments.launch.local import Launch, launch_missing, list_runs
from akyolo.experiments.run.store import TableFolder, read_records
from akyolo.experiments.spec.row_models import read_base, read_model
from akyolo.experiments.spec.table_spec import TableSpec
from akyolo.experiments.table.counts import count_printed_rows
from akyolo.experiments.table.report import DATA, PLOT, TABLE, measure_speed, write_report
from akyolo.upstream.arguments.check import check_arguments, fetch_data
from akyolo.upstream.arguments.data import check_data_of_task
from akyolo.upstream.arguments.used_by import check_used_by, offset_parameters
from akyolo.upstream.build import build_detector
from akyolo.upstream.logs import silence
from akyolo.upstream.model_yaml import task_of
from akyolo.upstream.patches.autoinstall import never_install

# Training arguments that a command sets itself: they keep the runs of a table comparable, and say where they are.
SET_BY_COMMAND = {"model", "seed", "name", "project", "save_dir", "exist_ok", "resume", "cfg", "task", "mode"}
OF_DATA = {"data", "split", "fraction"}  # a record gives them once, for the training and for its evaluation


@dataclass(frozen=True)
class TableRequest:
    """A table that a command runs.

    Args:
        folder: of the table.
        table: its row names must be different.
        rows: the names of the rows to run now; the report shows all rows.
    """

    folder: Path
    table: TableSpec
    rows: frozenset[str]


@dataclass(frozen=True)
class CheckedTable:
    """A table that has been checked completely.

    Its models, arguments, data and folder are right.
    """

    request: TableRequest
    store: TableFolder


@dataclass(frozen=True)
class TableResult:
    """The results of a table.

    Args:
        folder: of the table.
        content: of its table.json.
        failed: the folders of the runs that failed, each with the reason.
    """

    folder: Path
    content: Mapping[str, Any]
    failed: tuple[str, ...]

    @property
    def files(self) -> list[Path]:
        """Return the paths of table, data and plot."""
        return [self.folder / name for name in (TABLE, DATA, PLOT)]


def check_tables(requests: Iterable[TableRequest], command: str, needs_data: bool = True) -> list[CheckedTable]:
    """Check tables; an error names its table.

    Nothing is written.

    Args:
        requests: the tables.
        command: the name of the command, for messages.
        needs_data: whether a data set that must be prepared has to be named.

    Raises:
        AkyoloError: see `check_table`.
    """
    bases: dict[str, dict[str, Any]] = {}
    checked = []
    for request in requests:
        try:
            checked.append(check_table(request, command, bases, needs_data))
        except AkyoloError as error:
            location = f"table {request.table.table}" + (f", {error.location}" if error.location else "")
            raise type(error)(error.what, location=location, remedy=error.remedy) from None
    return checked


def check_table(
    request: TableRequest, command: str, bases: dict[str, dict[str, Any]] | None = None, needs_data: bool = True
) -> CheckedTable:
    """Find what would stop a run late.

    Nothing is written.

    Args:
        request: the table.
        command: the name of the command, for messages.
        bases: see `akyolo.experiments.spec.row_models.read_model`.
        needs_data: whether a data set that must be prepared has to be named.

    Raises:
        AkyoloError: a model, an argument, the data set or the folder is wrong.
    """
    never_install()
    table = request.table
    check_not_set(command, {**table.settings, **table.evaluation})
    if of_data := OF_DATA & table.evaluation.keys():
        what = f"{', '.join(sorted(of_data))} decides which images, not how"
        raise ConfigError(what, location="evaluation", remedy="move it to settings")
    check_arguments("val", {**table.evaluation, "protocol": table.protocol})
    if table.unprepared and needs_data:
        remedy = f"`akyolo data prepare {table.unprepared.prepare} --root DIR` makes it; then data=DIR/data.yaml"
        raise ConfigError(f"{table.data} is only a name; its data YAML must be given", remedy=remedy)
    settings = _training_arguments(table)
    check_arguments("train", settings)
    _check_data(table, settings.get("data"))
    models = _check_models(table, settings, {} if bases is None else bases)
    return CheckedTable(request, TableFolder(request.folder, table, models))


def check_not_set(command: str, settings: Mapping[str, Any]) -> None:
    """Refuse training arguments that the command sets itself.

    Raises:
        ConfigError: it names them.
    """
    if reserved := SET_BY_COMMAND & settings.keys():
        raise ConfigError(f"{', '.join(sorted(reserved))}: {command} sets it itself", remedy="leave it out")


def _training_arguments(table: TableSpec) -> dict[str, Any]:
    """Return the arguments of all trainings.

    There is no `data` if the data set is still to be named.
    """
    data = None if table.unprepared else table.data
    named = {key: value for key, value in (("data", data), ("recipe", table.recipe)) if value is not None}
    return {**table.settings, **named}


def _check_data(table: TableSpec, data: Any) -> None:
    """Check the data set and its classes."""
    if isinstance(data, list):
        raise ConfigError("data= names several data sets", remedy="compare on one at a time")
    check_data_of_task("detect", data)
    if data is None:
        return
    classes, expected = fetch_data(data), table.data_set and table.data_set.classes
    if expected is not None and classes != expected:
        raise DatasetError(f"{data} has {classes} classes, {table.stated_data} has {expected}")


def _check_models(
    table: TableSpec, settings: dict[str, Any], bases: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Build all models; return their YAMLs."""
    models, has_offsets = {}, False
    with silence():
        for row in table.rows:
            if (task := task_of(read_base(row, bases))) != "detect":
                raise ConfigError(f"{row.base} is a model for {task}", remedy="only detection models can be compared")
            models[row.row] = read_model(row, bases)
            network = build_detector(copy.deepcopy(models[row.row]))  # upstream changes the mapping
            check_used_by(network, settings)
            has_offsets = has_offsets or bool(offset_parameters(network))
    if "offset_lr" in settings and not has_offsets:
        what = "'offset_lr' has no effect: none of these operators has learned offsets"
        raise ConfigError(what, remedy="leave it out")
    return models


def run_tables(tables: Sequence[CheckedTable], launch: Launch) -> Iterator[TableResult]:
    """Run tables and yield their results.

    Runs that have a record are not executed again.

    The report of a table is written before its first run and after each run, so that it shows what there is.

    Args:
        tables: one after the other.
        launch: executes runs.

    Raises:
        ConfigError: the folder of a table cannot be written, or another process runs the table.
    """
    for checked in tables:
        yield _run_table(checked, launch)


def _run_table(checked: CheckedTable, launch: Launch) -> TableResult:
    folder, table, models = checked.request.folder, checked.request.table, checked.store.models
    failed = []
    with checked.store.lock():
        counts = count_printed_rows(table, models)
        write_report(folder, table, read_records(folder, table), counts)
        runs = [run for run in list_runs(folder, table) if run.row in checked.request.rows]
        for run, error in launch_missing(runs, launch):
            if error:
                failed.append(f"{run.home} ({error})")
            write_report(folder, table, read_records(folder, table), counts)
        records = read_records(folder, table)
        measure_speed(folder, table, records)
        content = write_report(folder, table, records, counts)
    return TableResult(folder, content, tuple(failed))
