"""Read recipes: files of training arguments.

arguments/resolve.py says in which order they override each other.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from ultralytics.cfg import check_cfg
from ultralytics.utils import DEFAULT_CFG_DICT

from akyolo.errors import ConfigError, did_you_mean, first_line
from akyolo.resources import packaged
from akyolo.upstream.arguments.hyperparameters import check_batch, check_training_values
from akyolo.upstream.weights.checkpoint import WEIGHT_ARGUMENTS

# A recipe is about how to train, not about the model, the weights, the data or the results folder.
NOT_IN_RECIPES = {
    *("task", "mode", "model", "data", "project", "name", "resume", "save_dir", "cfg", "recipe", "device", "source"),
    *WEIGHT_ARGUMENTS,
}


def join_recipes(*recipes: str | None) -> str | None:
    """Join recipes by + in their order.

    A name that comes twice applies where it comes last.

    Example:
        >>> join_recipes("yolov5", None, "shapes+yolov5")
        'shapes+yolov5'
    """
    names = [name for recipe in recipes for name in recipe_names(recipe)]
    return "+".join(reversed(list(dict.fromkeys(reversed(names))))) or None


def recipe_names(recipe: str | None) -> list[str]:
    """Return the names that a recipe joins.

    They are names or files, joined by +.
    """
    return [name for name in str(recipe or "").split("+") if name]


def read_recipe(name: str) -> dict[str, Any]:
    """Return the training arguments of a recipe.

    Args:
        name: a file, or the name of one in the packaged `cfg/recipes`.

    Raises:
        ConfigError: there is no such recipe, or it holds an argument that no recipe may have; the message names file
            and key.
    """
    file = Path(name) if Path(name).is_file() else packaged("cfg") / "recipes" / f"{name}.yaml"
    if not file.is_file():
        recipes = [path.stem for path in file.parent.glob("*.yaml")]
        raise ConfigError(f"there is no recipe {name!r}", remedy=did_you_mean(name, recipes))
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"not valid YAML: {first_line(error)}", location=str(file)) from None
    if not isinstance(values, dict):
        raise ConfigError("a recipe is a mapping of training arguments", location=str(file))
    _check_values(values, str(file), sorted(DEFAULT_CFG_DICT.keys() - NOT_IN_RECIPES))
    return values


def _check_values(values: dict[str, Any], location: str, names: Sequence[str]) -> None:
    """Refuse wrong keys and values of recipes."""
    for key in values:
        if key not in names:
            raise ConfigError(
                f"{key!r} is not a training argument of a recipe",
                location=location,
                remedy=did_you_mean(str(key), names),
            )
    try:
        check_cfg(dict(values))
        check_training_values(values)
        check_batch(values.get("batch", 16), may_be_automatic=True)
    except ConfigError as error:
        raise ConfigError(error.what, location=location, remedy=error.remedy) from None
    except (TypeError, ValueError) as error:
        raise ConfigError(first_line(error), location=location) from None
