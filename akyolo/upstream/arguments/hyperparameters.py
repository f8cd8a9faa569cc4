"""The training arguments that akyolo adds, and the checks of their values and of upstream's.

Ours are valid in commands, files, checkpoints and workers, as upstream's are.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from akyolo.errors import ConfigError, did_you_mean

# what our trainers act on, and upstream's would ignore
OF_TRAINERS: dict[str, Any] = {
    "recipe": None,  # which files of training arguments were applied, see arguments/recipes.py
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
HYPERPARAMETERS = {**OF_TRAINERS, **OF_ANCHOR_HEADS}
OPTIMIZERS = ("auto", "SGD", "MuSGD", "Adam", "Adamax", "AdamW", "NAdam", "RAdam", "RMSprop")


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


def check_training_values(arguments: Mapping[str, Any]) -> None:
    """Refuse values that upstream would stumble over late, or read as something else.

    Raises:
        ConfigError: a value; the message names it and what would be right.
    """
    check_hyperparameters(arguments)
    check_choice(arguments, "optimizer", OPTIMIZERS)
    sizes = arguments.get("imgsz", 640)
    sizes = sizes if isinstance(sizes, list | tuple) else [sizes]
    if not sizes or not all(isinstance(s, int) and not isinstance(s, bool) and s > 0 for s in sizes):
        raise ConfigError(f"'imgsz={arguments['imgsz']}' must be a positive whole number of pixels, or [height, width]")


def check_choice(arguments: Mapping[str, Any], key: str, choices: Iterable[str]) -> None:
    """Refuse a value that is none of the choices, in capitals or not.

    Raises:
        ConfigError: it names the closest.
    """
    value = arguments.get(key)
    if value is not None and str(value).lower() not in {choice.lower() for choice in choices}:
        raise ConfigError(f"unknown {key} {value!r}", remedy=did_you_mean(str(value), choices))


def check_batch(value: Any, may_be_found: bool) -> None:
    """At least 1; in training also -1 or a fraction of the memory, for a batch that upstream finds.

    Raises:
        ConfigError: any other.
    """
    if not value > 0 and not (may_be_found and value == -1):
        raise ConfigError(f"'batch={value}' must be at least 1")
