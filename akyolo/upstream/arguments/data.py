"""Resolve the value of `data=`.

It means the embedded data set, or a YAML that holds no code.
"""

from pathlib import Path
from typing import Any

from ultralytics.utils import ROOT
from ultralytics.utils.checks import check_yaml

from akyolo.datasets.shapes import store
from akyolo.datasets.yolo import data_yaml
from akyolo.errors import DatasetError, did_you_mean
from akyolo.resources import packaged

NAME = "shapes.yaml"
RECIPE = "shapes"  # the recipe for the embedded data set
SUFFIXES = (".yaml", ".yml")


def embedded_data() -> str:
    """Return the path of the embedded data set.

    It is the default of `data=`.
    """
    return str(packaged("data") / NAME)


def resolves_to_embedded(data: Any) -> bool:
    """Return whether `data=` means the embedded set.

    That is its packaged file or its name, unless the current folder has a file of that name.
    """
    if not isinstance(data, str):
        return False
    return data in {embedded_data(), f"data/{NAME}"} or (data == NAME and not Path(NAME).is_file())


def resolve_data(arguments: dict[str, Any], task: str | None = None) -> dict[str, Any]:
    """Replace the embedded set by drawn files.

    Other data sets are checked for code.

    Args:
        arguments: of a mode; `data` may be a list of data sets.
        task: of the model.

    Returns:
        The arguments, with the path of the drawn set as `data`.
    """
    data = arguments.get("data")
    if isinstance(data, list | tuple):
        return {**arguments, "data": [resolve_data({"data": name}, task)["data"] for name in data]}
    if resolves_to_embedded(data):
        return {**arguments, "data": str(store.prepare())}
    check_runs_nothing(data, task)
    return arguments


def check_runs_nothing(data: Any, task: str | None = None) -> None:
    """Refuse a data YAML with a `download:`.

    Ultralytics runs that entry as a program. Its own files may have one.

    Args:
        data: the value of `data=`.
        task: of the model; for classification, a folder holds images only, and no YAML in it is read.

    Raises:
        DatasetError: the message names file and line.
    """
    if not isinstance(data, str | Path):
        return
    for file in () if task == "classify" else _yamls_of(data):
        if file.is_file() and not is_upstream_file(file):
            data_yaml.check_runs_nothing(file)


def check_data_of_task(task: str, data: Any) -> None:
    """Refuse a folder where a task needs a data YAML.

    Only a classifier takes a folder of folders.

    Raises:
        DatasetError: it names the data YAMLs that are near.
    """
    if isinstance(data, str) and task != "classify" and Path(data).suffix not in {*SUFFIXES, ".ndjson"}:
        near = [str(path) for path in Path(data if Path(data).is_dir() else Path(data).parent).glob("*.yaml")]
        raise DatasetError(
            f"data={data} is not a data YAML",
            remedy=did_you_mean(data, near) if near else "`akyolo data import` makes one",
        )


def _yamls_of(data: str | Path) -> list[Path]:
    """Return the YAML files that may be read."""
    if (folder := Path(data)).is_dir():  # Ultralytics looks in its sub-folders only if it holds no YAML itself.
        files = ([*folder.glob(f"*{end}")] or [*folder.rglob(f"*{end}")] for end in SUFFIXES)
        return next(filter(None, files), [])
    names = [str(data)] if Path(data).suffix in SUFFIXES else [f"{data}{suffix}" for suffix in SUFFIXES]
    return [Path(file) for file in (check_yaml(name, hard=False) for name in names) if file]


def is_upstream_file(file: Path) -> bool:
    """Return whether Ultralytics installs this file.

    A copy with the same bytes counts too.
    """
    original = ROOT / "cfg" / "datasets" / file.name
    return file.resolve().is_relative_to(ROOT) or (original.is_file() and file.read_bytes() == original.read_bytes())


def is_embedded(data: Any) -> bool:
    """Return whether `data` is the embedded set.

    Users write its name; trainings record the path of its drawn files.
    """
    return resolves_to_embedded(data) or (isinstance(data, str) and Path(data) == store.data_yaml())
