"""What `akyolo compare` and `akyolo reproduce` share: a look at everything before the first run, and then all runs."""

import argparse
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from akyolo.errors import ConfigError
from akyolo.swapping import SwapRule

if TYPE_CHECKING:
    from akyolo.experiments.launch.local import Launch

# what makes the runs of a table comparable, and where they lie
SET_BY_US = {"model", "seed", "name", "project", "save_dir", "exist_ok", "resume", "cfg", "task", "mode"}
_NAME = re.compile(r"\w[\w.=-]{,99}")


def folder_name(name: str) -> str:
    """The same.

    Raises:
        ConfigError: no folder should be called so.
    """
    if not _NAME.fullmatch(name):
        remedy = "give one by --name: up to 100 letters, digits, . = _ -"
        raise ConfigError(f"{name!r} is no name for a folder", remedy=remedy)
    return name


def check_own(command: str, settings: Mapping[str, Any]) -> None:
    """Refuse training arguments that are the command's.

    Raises:
        ConfigError: it names them.
    """
    if own := SET_BY_US & settings.keys():
        raise ConfigError(f"{', '.join(sorted(own))}: {command} sets it itself", remedy="leave it out")


def check_no_option(command: str, settings: Mapping[str, Any], options: argparse.Namespace) -> None:
    """Refuse options that are written like training arguments.

    Raises:
        ConfigError: it names the first.
    """
    for key in settings.keys() & vars(options):
        raise ConfigError(f"{key}: an option of {command}", remedy=f"write --{key}")


def check_trainings(models: Iterable[tuple[str, SwapRule | None]], settings: dict[str, Any]) -> int | None:
    """What would stop a training late, found before the first.

    Args:
        models: base and swap of each row.
        settings: training arguments of all of them, `data` and `recipe` included.

    Returns:
        How many classes the data set has; None where `settings` names none.

    Raises:
        AkyoloError: whatever is wrong with them.
    """
    from akyolo.cli.modes import check_kind_of_data
    from akyolo.swapping import swap
    from akyolo.upstream.arguments.check import check_arguments, fetch_data
    from akyolo.upstream.arguments.used_by import check_used_by, offset_parameters
    from akyolo.upstream.build import build_detector
    from akyolo.upstream.logs import silence
    from akyolo.upstream.model_yaml import read_model_yaml, task_of
    from akyolo.upstream.patches.autoinstall import never_install

    never_install()
    check_arguments("train", settings)
    if isinstance(settings.get("data"), list):
        raise ConfigError("data= names several data sets", remedy="compare on one at a time")
    check_kind_of_data("detect", settings.get("data"))
    data = settings.get("data")
    classes = fetch_data(data) if data else None
    moves = False
    with silence():
        for base, rule in models:
            model_yaml = read_model_yaml(base)
            if (task := task_of(model_yaml)) != "detect":
                raise ConfigError(f"{base} is a model for {task}", remedy="only detection models can be compared")
            network = build_detector(swap(model_yaml, rule)[0] if rule else model_yaml)
            check_used_by(network, settings)
            moves = moves or bool(offset_parameters(network))
    if "offset_lr" in settings and not moves:
        raise ConfigError("'offset_lr' has no effect: none of these operators moves its taps", remedy="leave it out")
    return classes


def run_all(
    folder: Path, wanted: Mapping[str, Any], launch: "Launch", rows: Collection[str] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """All runs; the table as table.json has it, and the runs that failed.

    Args:
        folder: of the series.
        wanted: its spec, of one table.
        launch: what starts them.
        rows: those to be run now, None for all; the table shows them all.

    Raises:
        ConfigError: see `akyolo.experiments.run.store.series`.
    """
    from akyolo.experiments.launch.local import launch_all, runs_of
    from akyolo.experiments.run.store import records, series
    from akyolo.experiments.table.report import TABLE, counts_beside, measure_speed, report

    failed = []
    with series(folder, wanted) as spec:
        counts = counts_beside(spec)
        report(folder, spec, records(folder, spec), counts)
        runs = [run for run in runs_of(folder, spec) if rows is None or run.row in rows]
        for run, wrong in launch_all(runs, launch):
            if wrong:
                failed.append(f"{run.home} ({wrong})")
            report(folder, spec, records(folder, spec), counts)
        found = records(folder, spec)
        measure_speed(folder, spec, found)
        table = report(folder, spec, found, counts)
        print(f"\n{(folder / TABLE).read_text(encoding='utf-8')}\n{'  '.join(_files(folder))}", flush=True)
    return table, failed


def failure(failed: list[str]) -> str:
    """What to say of runs that failed."""
    return f"akyolo: {len(failed)} failed: {', '.join(failed)}; the same command tries again"


def _files(folder: Path) -> Iterator[str]:
    from akyolo.experiments.table.report import DATA, PLOT, TABLE

    return (str(folder / name) for name in (TABLE, DATA, PLOT))
