"""Define and check the training arguments of akyolo.

Commands, files, checkpoints and worker processes take these arguments as they take those of Ultralytics.
"""

from collections.abc import Mapping
from typing import Any

from akyolo.checks import COUNTING, POSITIVE, Numbers, check_choice, check_flag, check_number, is_flag
from akyolo.errors import ConfigError

# Our trainers act on these arguments; those of Ultralytics would ignore them.
TRAINER_ARGUMENTS: dict[str, Any] = {
    "recipe": None,  # the files of training arguments that were applied, see arguments/recipes.py
    "offset_lr": 1.0,  # multiplies the learning rate of offset parameters
    "nan_recovery": False,  # reload last.pt when a loss is not finite, as Ultralytics does, instead of stopping
    "allow_bad": False,  # train even if more than 1 in 1000 images or label files cannot be used
    "warmup_min_iterations": 0,  # the least length of a warm-up, if there is one
    "autoanchor": True,  # fit the anchors to the boxes if the given ones match too few of them
}
# The loss of an anchor head reads these arguments under any trainer, with `box` and `cls` of Ultralytics.
ANCHOR_HEAD_ARGUMENTS: dict[str, Any] = {
    "obj": 1.0,  # gain of the objectness loss
    "anchor_t": 4.0,  # an anchor matches a box if neither side differs by more than this factor
    "fl_gamma": 0.0,  # exponent of the focal loss; 0 for none
    "cls_smoothing": 0.0,  # label smoothing
    "cls_pos_weight": 1.0,  # weight of positives in the cross entropy of the classes
    "obj_pos_weight": 1.0,  # weight of positives in the cross entropy of the objectness
}
HYPERPARAMETERS = {**TRAINER_ARGUMENTS, **ANCHOR_HEAD_ARGUMENTS}
# Arguments with other bounds than "at least 0".
NUMBERS = {
    "anchor_t": Numbers(above=1),
    "cls_smoothing": Numbers(at_least=0, below=1),
    "warmup_min_iterations": Numbers(at_least=0, multiple_of=1),
}
OPTIMIZERS = ("auto", "SGD", "MuSGD", "Adam", "Adamax", "AdamW", "NAdam", "RAdam", "RMSprop")


def check_hyperparameters(arguments: Mapping[str, Any]) -> None:
    """Refuse wrong values of our training arguments.

    The check of Ultralytics covers its own arguments only.

    Raises:
        ConfigError: a number out of range, or a value whose type is not that of the default.
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
    """Refuse a value outside its bounds."""
    hint = "YAML reads 1e-3 as text: write 0.001 or 1.0e-3" if isinstance(value, str) else None
    numbers = NUMBERS.get(key, Numbers(at_least=0))
    check_number(f"'{key}={value}'", value, numbers, error=ConfigError, remedy=hint)


def check_training_values(arguments: Mapping[str, Any]) -> None:
    """Refuse wrong values of any training argument.

    Ultralytics would refuse some of them late, and misread others.

    Raises:
        ConfigError: a value; the message names it and says what to write instead.
    """
    check_hyperparameters(arguments)
    if arguments.get("optimizer") is not None:
        check_choice(OPTIMIZERS, error=ConfigError, any_case=True, optimizer=arguments["optimizer"])
    sizes = arguments.get("imgsz", 640)
    sizes = sizes if isinstance(sizes, list | tuple) else [sizes]
    if not sizes or not all(side in COUNTING for side in sizes):
        raise ConfigError(f"'imgsz={arguments['imgsz']}' must be a positive whole number of pixels, or [height, width]")


def check_batch(value: Any, may_be_automatic: bool) -> None:
    """Refuse a batch that is not positive.

    Args:
        value: of `batch=`.
        may_be_automatic: accept -1 too; Ultralytics then chooses the largest batch that fits into the memory.

    Raises:
        ConfigError: another value.
    """
    if not (may_be_automatic and value == -1):
        check_number(f"'batch={value}'", value, POSITIVE, expected="at least 1", error=ConfigError)
