"""Refuse arguments that no kernel can have, before anything is built."""

import math
from collections.abc import Collection
from typing import Any

from torch import nn

from akyolo.errors import RowError, did_you_mean


def check_whole(**values: Any) -> None:
    """Each must be a whole number of at least 1.

    Raises:
        RowError: one is not; it is named.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise RowError(f"{name}={value!r} must be a whole number of at least 1")


def check_positive(**values: Any) -> None:
    """Each must be a finite number above 0.

    Raises:
        RowError: one is not; it is named.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise RowError(f"{name}={value!r} must be a number above 0")


def check_divides(*channels: int, **values: int) -> None:
    """Each must divide all these numbers of channels.

    Raises:
        RowError: one does not; it is named.
    """
    for name, value in values.items():
        for number in channels:
            if number % value:
                raise RowError(f"{name}={value} must divide the {number} channels")


def check_flag(**values: Any) -> None:
    """Each must be true or false.

    Raises:
        RowError: one is not; it is named.
    """
    for name, value in values.items():
        if not isinstance(value, bool):
            raise RowError(f"{name}={value!r} must be true or false")


def check_act(act: Any) -> None:
    """Refuse what is no activation: upstream's Conv would take it for none.

    Raises:
        RowError: neither true, false, nor a module.
    """
    if not isinstance(act, bool | nn.Module):
        raise RowError(f"act={act!r} must be true or false")


def check_choice(known: Collection[str], **values: Any) -> None:
    """Each must be one of the known words.

    Raises:
        RowError: one is not; the message names the closest.
    """
    for name, value in values.items():
        if value not in list(known):  # a value of a YAML may be one that no set takes
            raise RowError(f"unknown {name} {value!r}", remedy=did_you_mean(str(value), known))
