"""Add our training arguments to upstream's defaults, and guards against trainers that would ignore them."""

from typing import Any

from ultralytics.utils import DEFAULT_CFG, DEFAULT_CFG_DICT, LOGGER
from ultralytics.utils.callbacks.base import default_callbacks
from ultralytics.utils.torch_utils import unwrap_model

from akyolo.errors import ConfigError
from akyolo.upstream.arguments.hyperparameters import HYPERPARAMETERS, TRAINER_ARGUMENTS


def install() -> None:
    """Add them to upstream's defaults, and their guards to its callbacks; doing it twice changes nothing."""
    for key, default in HYPERPARAMETERS.items():
        DEFAULT_CFG_DICT.setdefault(key, default)
        if not hasattr(DEFAULT_CFG, key):
            setattr(DEFAULT_CFG, key, default)
    for event, guard in (
        ("on_pretrain_routine_start", refuse_under_stock_trainer),
        ("on_train_start", name_recipe_under_stock_trainer),
    ):
        if guard not in default_callbacks[event]:
            default_callbacks[event].append(guard)


def refuse_under_stock_trainer(trainer: Any) -> None:
    """Stop a trainer that would ignore our arguments.

    Upstream calls it once the results folder exists, before data and model. It does not in the parent of its
    multi-GPU launch: there the first worker stops, with the same line, and the launch with it.

    Raises:
        ConfigError: a trainer that is not ours, with an argument of ours that says something.
    """
    if getattr(trainer, "understands_akyolo", False):
        return
    for key, default in TRAINER_ARGUMENTS.items():
        if (value := getattr(trainer.args, key, default)) != default:
            name = f"{type(trainer).__module__}.{type(trainer).__name__}"
            raise ConfigError(f"'{key}={value}' has no effect under {name}: train with akyolo.YOLO")


def name_recipe_under_stock_trainer(trainer: Any) -> None:
    """Say that a trainer which is not ours does not apply the recipe of its model."""
    recipe = (getattr(unwrap_model(trainer.model), "yaml", None) or {}).get("recipe")
    if recipe and not getattr(trainer, "understands_akyolo", False):
        LOGGER.warning(
            f"akyolo: trained by the defaults of Ultralytics (box={trainer.args.box}), not by its recipe {recipe}: "
            "train with akyolo.YOLO, or give the values of cfg/recipes"
        )
