"""Add our training arguments to upstream's defaults."""

from typing import Any

from ultralytics.utils import DEFAULT_CFG, DEFAULT_CFG_DICT, LOGGER
from ultralytics.utils.callbacks.base import default_callbacks
from ultralytics.utils.torch_utils import unwrap_model

from akyolo.errors import ConfigError
from akyolo.upstream.arguments.hyperparameters import HYPERPARAMETERS, TRAINER_ARGUMENTS


def install() -> None:
    """Add arguments and guards, unless they are there."""
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

    Upstream calls this callback when the results folder exists, before it opens data and model. It does not call it in
    the parent process of its multi-GPU launch: there the first worker stops with the same line, and ends the launch.

    Args:
        trainer: any trainer of upstream's.

    Raises:
        ConfigError: the trainer is not ours, and an argument of ours differs from its default.
    """
    if getattr(trainer, "understands_akyolo", False):
        return
    for key, default in TRAINER_ARGUMENTS.items():
        if (value := getattr(trainer.args, key, default)) != default:
            name = f"{type(trainer).__module__}.{type(trainer).__name__}"
            raise ConfigError(f"'{key}={value}' has no effect under {name}: train with akyolo.YOLO")


def name_recipe_under_stock_trainer(trainer: Any) -> None:
    """Warn if a trainer ignores the model's recipe.

    Args:
        trainer: any trainer of upstream's.
    """
    recipe = (getattr(unwrap_model(trainer.model), "yaml", None) or {}).get("recipe")
    if recipe and not getattr(trainer, "understands_akyolo", False):
        LOGGER.warning(
            f"akyolo: this trainer uses the defaults of Ultralytics (box={trainer.args.box}), not the model's recipe "
            f"{recipe}: train with akyolo.YOLO, or give the values of cfg/recipes"
        )
