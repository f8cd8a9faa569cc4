"""Our training arguments beside upstream's: valid in commands, files, checkpoints and workers."""

import math
from collections.abc import Mapping
from typing import Any

from ultralytics.utils import DEFAULT_CFG, DEFAULT_CFG_DICT
from ultralytics.utils.callbacks.base import default_callbacks

from akyolo.errors import ConfigError

HYPERPARAMETERS: dict[str, float | bool] = {
    "offset_lr": 1.0,  # multiplies the learning rate of whatever moves taps
    "nan_recovery": False,  # on a loss that is not finite, reload last.pt as upstream does instead of stopping
}


def install() -> None:
    """Add them to upstream's defaults, and their guard to its callbacks; doing it twice changes nothing."""
    for key, default in HYPERPARAMETERS.items():
        DEFAULT_CFG_DICT.setdefault(key, default)
        if not hasattr(DEFAULT_CFG, key):
            setattr(DEFAULT_CFG, key, default)
    guards = default_callbacks["on_pretrain_routine_start"]
    if refuse_under_stock_trainer not in guards:
        guards.append(refuse_under_stock_trainer)


def check_hyperparameters(arguments: Mapping[str, Any]) -> None:
    """Refuse values of our arguments that no training can use; upstream's own check knows only its own keys.

    Raises:
        ConfigError: a number below 0, or a value of another type than the default's.
    """
    for key in HYPERPARAMETERS.keys() & arguments.keys():
        value = arguments[key]
        if isinstance(HYPERPARAMETERS[key], bool):
            if not isinstance(value, bool):
                raise ConfigError(f"'{key}={value}' must be True or False")
            continue
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or value < 0:
            raise ConfigError(f"'{key}={value}' must be a number of at least 0")


def refuse_under_stock_trainer(trainer: Any) -> None:
    """Stop a trainer that would ignore our arguments.

    Upstream calls it once the results folder exists, before data and model. It does not in the parent of its
    multi-GPU launch: there the first worker stops, with the same line, and the launch with it.

    Raises:
        ConfigError: a trainer that is not ours, with an argument of ours that says something.
    """
    if getattr(trainer, "understands_akyolo", False):
        return
    for key, default in HYPERPARAMETERS.items():
        if (value := getattr(trainer.args, key, default)) != default:
            name = f"{type(trainer).__module__}.{type(trainer).__name__}"
            raise ConfigError(f"'{key}={value}' has no effect under {name}: train with akyolo.YOLO")
