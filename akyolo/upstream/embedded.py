"""The data set that needs no download, and how a training uses it when the user names none."""

from pathlib import Path
from typing import Any

import yaml
from torch import nn
from ultralytics.utils import LOGGER

from akyolo.datasets import shapes
from akyolo.packaged import packaged
from akyolo.upstream.optimizer import offset_parameters

NAME = "shapes.yaml"


def resolves_to_embedded(data: Any) -> bool:
    """Whether `data=` means the embedded set: its name, unless a file of that name lies here, or its packaged file."""
    return data in {str(packaged("data") / NAME), f"data/{NAME}"} or (data == NAME and not Path(NAME).is_file())


def resolve_data(arguments: dict[str, Any]) -> dict[str, Any]:
    """The same arguments, with the embedded set drawn where `data=` means it."""
    meant = resolves_to_embedded(arguments.get("data"))
    return {**arguments, "data": str(shapes.prepare())} if meant else arguments


def embedded_training(arguments: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """Arguments for a training without `data=`: the embedded set and its own small recipe; the user's win."""
    recipe = yaml.safe_load((packaged("cfg") / "recipes" / NAME).read_text(encoding="utf-8"))
    if not offset_parameters(model):
        recipe.pop("offset_lr", None)  # refused where it has no effect
    LOGGER.info(
        "akyolo: no data= given, so this trains on the embedded set of shapes with cfg/recipes/shapes.yaml "
        f"({', '.join(f'{key}={value}' for key, value in recipe.items() if key not in arguments)})"
    )
    return {**recipe, "data": str(shapes.prepare()), **arguments}
