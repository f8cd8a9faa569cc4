"""Values of upstream's own training arguments that it would stumble over late, or read as something else."""

from collections.abc import Iterable, Mapping
from typing import Any

from akyolo.errors import ConfigError, did_you_mean
from akyolo.upstream.arguments.hyperparameters import check_hyperparameters

OPTIMIZERS = ("auto", "SGD", "MuSGD", "Adam", "Adamax", "AdamW", "NAdam", "RAdam", "RMSprop")


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
