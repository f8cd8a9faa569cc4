"""The training arguments that akyolo adds, and the checks of their values and of upstream's.

Ours are valid in commands, files, checkpoints and workers, as upstream's are.
"""

from collections.abc import Mapping
from typing import Any

from akyolo.checks import COUNTING, POSITIVE, Numbers, check_choice, check_flag, check_number, is_flag
from akyolo.errors import ConfigError

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
# those that are not any number of at least 0
NUMBERS = {
    "anchor_t": Numbers(above=1),
    "cls_smoothing": Numbers(at_least=0, below=1),
    "warmup_min_iterations": Numbers(at_least=0, multiple_of=1),
}
OPTIMIZERS = ("auto", "SGD", "MuSGD", "Adam", "Adamax", "AdamW", "NAdam", "RAdam", "RMSprop")


def check_hyperparameters(arguments: Mapping[str, Any]) -> None:
    """Refuse values of our arguments that no training can use; upstream's own check knows only its own keys.

    Raises:
        ConfigError: a number out of range, or a value of another type than the default's.
    """
    for key in HYPERPARAMETERS.keys() & arguments.keys():
        value, default = arguments[key], HYPERPARAMETERS[key]
        if is_flag(default):
            check_flag(error=ConfigError, **{key: value})
        elif default is None:
            if value is not None and not isinstance(value, str):
                raise ConfigError(f"'{key}={value}' must be a name or a file, or several joined by +")
        else:
            _check_number(key, value)


def _check_number(key: str, value: Any) -> None:
    hint = "YAML reads 1e-3 as text: write 0.001 or 1.0e-3" if isinstance(value, str) else None
    numbers = NUMBERS.get(key, Numbers(at_least=0))
    check_number(f"'{key}={value}'", value, numbers, error=ConfigError, remedy=hint)


def check_training_values(arguments: Mapping[str, Any]) -> None:
    """Refuse values that upstream would stumble over late, or read as something else.

    Raises:
        ConfigError: a value; the message names it and what would be right.
    """
    check_hyperparameters(arguments)
    if arguments.get("optimizer") is not None:
        check_choice(OPTIMIZERS, error=ConfigError, any_case=True, optimizer=arguments["optimizer"])
    sizes = arguments.get("imgsz", 640)
    sizes = sizes if isinstance(sizes, list | tuple) else [sizes]
    if not sizes or not all(side in COUNTING for side in sizes):
        raise ConfigError(f"'imgsz={arguments['imgsz']}' must be a positive whole number of pixels, or [height, width]")


def check_batch(value: Any, may_be_found: bool) -> None:
    """At least 1; in training also -1 or a fraction of the memory, for a batch that upstream finds.

    Raises:
        ConfigError: any other.
    """
    if not (may_be_found and value == -1):
        check_number(f"'batch={value}'", value, POSITIVE, expected="at least 1", error=ConfigError)
