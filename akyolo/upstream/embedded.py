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
    return data in {embedded_data(), f"data/{NAME}"} or (data == NAME and not Path(NAME).is_file())


def resolve_data(arguments: dict[str, Any]) -> dict[str, Any]:
    """The same arguments, with the embedded set drawn where `data=` means it."""
    meant = resolves_to_embedded(arguments.get("data"))
    return {**arguments, "data": str(shapes.prepare())} if meant else arguments
