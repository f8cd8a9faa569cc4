"""The data set that needs no download."""

from pathlib import Path
from typing import Any

from akyolo.datasets import shapes
from akyolo.packaged import packaged

NAME = "shapes.yaml"
RECIPE = "shapes"  # how to train on it


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
    return {**arguments, "data": str(shapes.prepare())} if resolves_to_embedded(data) else arguments


def is_embedded(data: Any) -> bool:
    """Whether this is the embedded set, by whatever path: `data=`, or what a training on it has recorded."""
    return resolves_to_embedded(data) or (isinstance(data, str) and Path(data) == shapes.data_yaml())
