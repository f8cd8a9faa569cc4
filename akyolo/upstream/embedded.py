"""What `data=` means: the data set that needs no download, or a YAML that holds values only."""

from pathlib import Path
from typing import Any

from ultralytics.utils import ROOT
from ultralytics.utils.checks import check_yaml

from akyolo.datasets import data_yaml, shapes
from akyolo.packaged import packaged

NAME = "shapes.yaml"
RECIPE = "shapes"  # how to train on it
SUFFIXES = (".yaml", ".yml")


def embedded_data() -> str:
    """What `data=` is where the user names none."""
    return str(packaged("data") / NAME)


def resolves_to_embedded(data: Any) -> bool:
    """Whether `data=` means the embedded set: its name, unless a file of that name lies here, or its packaged file."""
    if not isinstance(data, str):
        return False
    return data in {embedded_data(), f"data/{NAME}"} or (data == NAME and not Path(NAME).is_file())


def resolve_data(arguments: dict[str, Any]) -> dict[str, Any]:
    """The same arguments, with the embedded set drawn where `data=` means it, or one of a list of data sets does."""
    data = arguments.get("data")
    if isinstance(data, list | tuple):
        return {**arguments, "data": [resolve_data({"data": one})["data"] for one in data]}
    if resolves_to_embedded(data):
        return {**arguments, "data": str(shapes.prepare())}
    check_runs_nothing(data)
    return arguments


def check_runs_nothing(data: Any) -> None:
    """Refuse a data YAML with a `download:`, which upstream runs as a program; its own files may have one.

    Raises:
        DatasetError: with file and line.
    """
    if not isinstance(data, str | Path):
        return
    if Path(data).is_dir():  # in which upstream looks for a YAML
        found = [*Path(data).glob("*.y*ml"), *Path(data).glob("*/*.y*ml")]
    else:
        names = [str(data)] if Path(data).suffix in SUFFIXES else [f"{data}{suffix}" for suffix in SUFFIXES]
        found = [Path(file) for file in (check_yaml(name, hard=False) for name in names) if file]
    for file in found:
        if file.is_file() and not file.resolve().is_relative_to(ROOT):
            data_yaml.check_runs_nothing(file)


def is_embedded(data: Any) -> bool:
    """Whether this is the embedded set, by whatever path: `data=`, or what a training on it has recorded."""
    return resolves_to_embedded(data) or (isinstance(data, str) and Path(data) == shapes.data_yaml())
