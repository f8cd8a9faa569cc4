"""How a model is trained: recipes, files of training arguments that lie over each other.

Later wins: the defaults of Ultralytics; the model's own recipe (`recipe:` in its YAML); that of the embedded data set,
where the user names neither data nor recipe; the user's `recipe=`; the user's other arguments.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import yaml
from torch import nn
from ultralytics.cfg import check_cfg
from ultralytics.utils import DEFAULT_CFG_DICT, LOGGER

from akyolo.errors import ConfigError, did_you_mean, first_line
from akyolo.resources import packaged
from akyolo.upstream.arguments.hyperparameters import OF_ANCHOR_HEADS, check_batch, check_training_values
from akyolo.upstream.arguments.used_by import has_anchors, offset_parameters
from akyolo.upstream.weights.checkpoint import WEIGHT_ARGUMENTS

# which model, which weights, which data, where to: a recipe is none of these
NOT_OF_A_RECIPE = {
    *("task", "mode", "model", "data", "project", "name", "resume", "save_dir", "cfg", "recipe", "device", "source"),
    *WEIGHT_ARGUMENTS,
}


def joined(*recipes: str | None) -> str | None:
    """Names in the order in which they apply, joined by +; a name twice counts where it comes last."""
    names = [name for recipe in recipes for name in named(recipe)]
    return "+".join(reversed(list(dict.fromkeys(reversed(names))))) or None


def named(recipe: str | None) -> list[str]:
    """The names or files that are joined by +."""
    return [name for name in str(recipe or "").split("+") if name]


def with_recipe(
    arguments: dict[str, Any], recipe: str | None, written: Collection[str], model: nn.Module
) -> dict[str, Any]:
    """The same arguments over those of a recipe; says which apply.

    Args:
        arguments: the user's; they win.
        recipe: names or files joined by +.
        written: all that the user wrote, in a `cfg=` file too.
        model: what is trained; of the recipe, what none of its layers reads is left out.

    Raises:
        ConfigError: there is no such recipe, or it holds what is no training argument.
    """
    if not recipe:
        return arguments
    applied: dict[str, Any] = {}
    for name in named(recipe):
        applied |= read_recipe(name)
    without_effect = {
        *([] if offset_parameters(model) else ["offset_lr"]),
        *([] if has_anchors(model) else OF_ANCHOR_HEADS),
    }
    applied = {key: value for key, value in applied.items() if key not in written and key not in without_effect}
    LOGGER.info(f"akyolo: recipe {recipe}: {', '.join(f'{key}={value}' for key, value in applied.items())}")
    return {**applied, **arguments, "recipe": recipe}


def read_recipe(name: str) -> dict[str, Any]:
    """The training arguments of a recipe: a file, or the name of one in the packaged `cfg/recipes`.

    Raises:
        ConfigError: there is none, or it holds what is no training argument; the message names file and key.
    """
    file = Path(name) if Path(name).is_file() else packaged("cfg") / "recipes" / f"{name}.yaml"
    if not file.is_file():
        known = [path.stem for path in file.parent.glob("*.yaml")]
        raise ConfigError(f"there is no recipe {name!r}", remedy=did_you_mean(name, known))
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"no valid YAML: {first_line(error)}", location=str(file)) from None
    if not isinstance(values, dict):
        raise ConfigError("a recipe is a mapping of training arguments", location=str(file))
    _check_values(values, str(file), sorted(DEFAULT_CFG_DICT.keys() - NOT_OF_A_RECIPE))
    return values


def _check_values(values: dict[str, Any], location: str, known: Sequence[str]) -> None:
    for key in values:
        if key not in known:
            raise ConfigError(
                f"{key!r} is no training argument of a recipe", location=location, remedy=did_you_mean(str(key), known)
            )
    try:
        check_cfg(dict(values))
        check_training_values(values)
        check_batch(values.get("batch", 16), may_be_found=True)
    except ConfigError as error:
        raise ConfigError(error.what, location=location, remedy=error.remedy) from None
    except (TypeError, ValueError) as error:
        raise ConfigError(first_line(error), location=location) from None
