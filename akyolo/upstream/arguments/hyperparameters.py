"""Our training arguments beside upstream's: valid in commands, files, checkpoints and workers."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ultralytics.utils import DEFAULT_CFG, DEFAULT_CFG_DICT, LOGGER
from ultralytics.utils.callbacks.base import default_callbacks
from ultralytics.utils.torch_utils import unwrap_model

from akyolo.errors import ConfigError

# what our trainers act on, and upstream's would ignore
OF_TRAINERS: dict[str, Any] = {
    "recipe": None,  # which files of training arguments were applied, see recipes.py
    "offset_lr": 1.0,  # multiplies the learning rate of whatever moves taps
    "nan_recovery": False,  # on a loss that is not finite, reload last.pt as upstream does instead of stopping
    "allow_bad": False,  # train although more than 1 in 1000 images, or their labels, cannot be used
    "warmup_min_iterations": 0,  # where there is a warm-up, it lasts at least so long
    "autoanchor": True,  # fit the anchors to the boxes where too few of these can be met
}
# what the loss of an anchor head reads, under any trainer; `box` and `cls` are upstream's
OF_ANCHOR_HEADS: dict[str, Any] = {
    "obj": 1.0,  # gain of the objectness loss
    "anchor_t": 4.0,  # an anchor meets a box when neither side differs by more than this factor
    "fl_gamma": 0.0,  # focal loss
    "cls_smoothing": 0.0,  # label smoothing
    "cls_pos_weight": 1.0,  # of positives in the classes' cross entropy
    "obj_pos_weight": 1.0,  # of positives in the objectness' cross entropy
}
# what upstream's other losses read, an anchor head's does not
NOT_OF_ANCHOR_HEADS: dict[str, Any] = {"cls_pw": DEFAULT_CFG.cls_pw, "dfl": DEFAULT_CFG.dfl, "distill_model": None}
REMEDIES = {"cls_pw": "cls_pos_weight weighs positives, as YOLOv5's cls_pw did"}
HYPERPARAMETERS = {**OF_TRAINERS, **OF_ANCHOR_HEADS}


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


def check_hyperparameters(arguments: Mapping[str, Any]) -> None:
    """Refuse values of our arguments that no training can use; upstream's own check knows only its own keys.

    Raises:
        ConfigError: a number out of range, or a value of another type than the default's.
    """
    for key in HYPERPARAMETERS.keys() & arguments.keys():
        value, default = arguments[key], HYPERPARAMETERS[key]
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise ConfigError(f"'{key}={value}' must be True or False")
        elif default is None:
            if value is not None and not isinstance(value, str):
                raise ConfigError(f"'{key}={value}' must be a name or a file, or several joined by +")
        else:
            _check_number(key, value)


def _check_number(key: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        hint = "YAML reads 1e-3 as text: write 0.001 or 1.0e-3" if isinstance(value, str) else None
        raise ConfigError(f"'{key}={value}' must be a number of at least 0", remedy=hint)
    if key == "anchor_t" and value <= 1:
        raise ConfigError(f"'anchor_t={value}' must be above 1: it is a ratio of sides")
    if key == "cls_smoothing" and value >= 1:
        raise ConfigError(f"'cls_smoothing={value}' must be below 1")
    if key == "warmup_min_iterations" and value != int(value):
        raise ConfigError(f"'warmup_min_iterations={value}' must be a whole number")


def has_anchors(model: Any) -> bool:
    """Whether the loss of this model is that of an anchor head, and reads its arguments."""
    return hasattr(model.model[-1], "build_criterion")


def check_used_by(model: Any, arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that the loss of this model does not read.

    Raises:
        ConfigError: one of an anchor head, with a value that says something, for a model that has none; or the
            other way round.
    """
    head, anchored = type(model.model[-1]).__name__, has_anchors(model)
    for key, default in (NOT_OF_ANCHOR_HEADS if anchored else OF_ANCHOR_HEADS).items():
        if (value := arguments.get(key, default)) != default:
            why, remedy = ("has anchors", REMEDIES.get(key)) if anchored else ("has no anchors", None)
            raise ConfigError(f"'{key}={value}' has no effect: {head} {why}", remedy=remedy)


def check_augment(model: Any, augment: Any) -> None:
    """Upstream augments at test time for its own detection head alone, and goes on without for others.

    Raises:
        ConfigError: it is asked for a head of ours.
    """
    if augment and not isinstance(model, str | Path) and has_anchors(model):
        head = type(model.model[-1]).__name__
        raise ConfigError(f"'augment=True' is not available for {head}: Ultralytics augments for its own head only")


def refuse_under_stock_trainer(trainer: Any) -> None:
    """Stop a trainer that would ignore our arguments.

    Upstream calls it once the results folder exists, before data and model. It does not in the parent of its
    multi-GPU launch: there the first worker stops, with the same line, and the launch with it.

    Raises:
        ConfigError: a trainer that is not ours, with an argument of ours that says something.
    """
    if getattr(trainer, "understands_akyolo", False):
        return
    for key, default in OF_TRAINERS.items():
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
