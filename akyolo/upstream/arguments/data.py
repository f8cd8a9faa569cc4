"""What `data=` means: the data set that needs no download, or a YAML that holds values only."""

from pathlib import Path
from typing import Any

from ultralytics.utils import ROOT
from ultralytics.utils.checks import check_yaml

from akyolo.datasets.shapes import store
from akyolo.datasets.yolo import data_yaml
from akyolo.resources import packaged

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


def resolve_data(arguments: dict[str, Any], task: str | None = None) -> dict[str, Any]:
    """The same arguments, with the embedded set drawn where `data=` means it, or one of a list of data sets does."""
    data = arguments.get("data")
    if isinstance(data, list | tuple):
        return {**arguments, "data": [resolve_data({"data": one}, task)["data"] for one in data]}
    if resolves_to_embedded(data):
        return {**arguments, "data": str(store.prepare())}
    check_runs_nothing(data, task)
    return arguments


def check_runs_nothing(data: Any, task: str | None = None) -> None:
    """Refuse a data YAML with a `download:`, which upstream runs as a program; its own files may have one.

    Args:
        data: what stands behind `data=`.
        task: of the model; to classify, a folder holds images alone, and no YAML in it is read.

    Raises:
        DatasetError: with file and line.
    """
    if not isinstance(data, str | Path):
        return
    for file in () if task == "classify" else _yamls_of(data):
        if file.is_file() and not is_upstreams(file):
            data_yaml.check_runs_nothing(file)


def _yamls_of(data: str | Path) -> list[Path]:
    """The files of which upstream may read one."""
    if (folder := Path(data)).is_dir():  # in which it looks for a YAML, below only where there is none in it
        return next((one for end in SUFFIXES if (one := [*folder.glob(f"*{end}")] or [*folder.rglob(f"*{end}")])), [])
    names = [str(data)] if Path(data).suffix in SUFFIXES else [f"{data}{suffix}" for suffix in SUFFIXES]
    return [Path(file) for file in (check_yaml(name, hard=False) for name in names) if file]


def is_upstreams(file: Path) -> bool:
    """Whether this is one of the files that Ultralytics installs, or a copy of it, byte by byte."""
    original = ROOT / "cfg" / "datasets" / file.name
    return file.resolve().is_relative_to(ROOT) or (original.is_file() and file.read_bytes() == original.read_bytes())


def is_embedded(data: Any) -> bool:
    """Whether this is the embedded set, by whatever path: `data=`, or what a training on it has recorded."""
    return resolves_to_embedded(data) or (isinstance(data, str) and Path(data) == store.data_yaml())
