"""Check the numbers, choices and flags of users."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from torch import nn

from akyolo.errors import AkyoloError, ConfigError, RowError, did_you_mean


@dataclass(frozen=True)
class Numbers:
    """The finite numbers within some bounds.

    True and false are not numbers.

    Args:
        whole: whether only integers belong to it.
        at_least: the least number, itself included.
        above: the lower bound, itself excluded.
        below: the upper bound, itself excluded.
        multiple_of: what each number is a multiple of; 0 for any number.

    Example:
        >>> from akyolo.checks import Numbers
        >>> 3 in Numbers(whole=True), 3.5 in Numbers(whole=True), True in Numbers(whole=True)
        (True, False, False)
        >>> str(Numbers(above=0, below=0.5))
        'a number between 0 and 0.5, neither included'
    """

    whole: bool = False
    at_least: float = -math.inf
    above: float = -math.inf
    below: float = math.inf
    multiple_of: int = 0

    def __contains__(self, value: object) -> bool:
        """Return whether `value` is within the bounds."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        within = self.at_least <= value and self.above < value < self.below  # false for NaN
        return within and not (self.multiple_of and value % self.multiple_of)

    def __str__(self) -> str:
        """Return the words that complete "must be"."""
        noun = "a whole number" if self.whole or self.multiple_of == 1 else "a number"
        if self.above > -math.inf and self.below < math.inf:
            return f"{noun} between {self.above:g} and {self.below:g}, neither included"
        bounds = [
            words
            for words, is_given in (
                (f"of at least {self.at_least:g}", self.at_least > -math.inf),
                (f"above {self.above:g}", self.above > -math.inf),
                (f"below {self.below:g}", self.below < math.inf),
                (f"a multiple of {self.multiple_of}", self.multiple_of > 1),
            )
            if is_given
        ]
        return f"{noun} {' and '.join(bounds)}".rstrip()


FINITE = Numbers()
POSITIVE = Numbers(above=0)
WHOLE = Numbers(whole=True)
FROM_0 = Numbers(whole=True, at_least=0)
COUNTING = Numbers(whole=True, at_least=1)


def check_number(
    written: str,
    value: Any,
    numbers: Numbers,
    *,
    expected: str | None = None,
    error: type[AkyoloError] = RowError,
    location: str | None = None,
    remedy: str | None = None,
) -> None:
    """Raise if `value` is not one of `numbers`.

    Args:
        written: the value as the user wrote it, with its name.
        value: the value.
        numbers: the numbers allowed.
        expected: words that complete "must be", in place of those of `numbers`.
        error: the class of the error.
        location: the file, and the row or key in it.
        remedy: what to write instead.

    Raises:
        AkyoloError: `error`; the value is not one of `numbers`.
    """
    if value not in numbers:
        raise error(f"{written} must be {expected or numbers}", location=location, remedy=remedy)


def check_whole(**values: Any) -> None:
    """Raise if a value is not a positive integer.

    Raises:
        RowError: a value is not; the message names it.
    """
    for name, value in values.items():
        check_number(f"{name}={value!r}", value, COUNTING)


def check_positive(**values: Any) -> None:
    """Raise if a value is not positive and finite.

    Raises:
        RowError: a value is not; the message names it.
    """
    for name, value in values.items():
        check_number(f"{name}={value!r}", value, POSITIVE)


def check_divides(*channels: int, **values: int) -> None:
    """Raise if a value does not divide the channels.

    Raises:
        RowError: a value does not; the message names it.
    """
    for name, value in values.items():
        for number in channels:
            if number % value:
                raise RowError(f"{name}={value} must divide the {number} channels")


def is_flag(value: object) -> bool:
    """Return whether `value` is true or false."""
    return isinstance(value, bool)


def check_flag(*, error: type[AkyoloError] = RowError, **values: Any) -> None:
    """Raise if a value is neither true nor false.

    Raises:
        AkyoloError: `error`; a value is neither. The message names it.
    """
    for name, value in values.items():
        if not is_flag(value):
            # a command line takes 'name=value', a YAML row name: value
            written = f"'{name}={value}'" if error is ConfigError else f"{name}={value!r}"
            raise error(f"{written} must be true or false")


def check_act(act: Any) -> None:
    """Raise if `act` is not an activation.

    Upstream's Conv reads any other value as no activation.

    Raises:
        RowError: `act` is neither true, false, nor a module.
    """
    if not isinstance(act, nn.Module):
        check_flag(act=act)


def check_choice(
    choices: Collection[str], *, error: type[AkyoloError] = RowError, any_case: bool = False, **values: Any
) -> None:
    """Raise if a value is not one of the choices.

    Args:
        choices: the words allowed.
        error: the class of the error.
        any_case: whether capitals and small letters are the same.
        values: the values, by name.

    Raises:
        AkyoloError: `error`; a value is not one of the choices. The message names the closest choice.
    """
    for name, value in values.items():
        # a value of a YAML may be unhashable: `in` a list, not in a set
        fits = str(value).lower() in [choice.lower() for choice in choices] if any_case else value in list(choices)
        if not fits:
            raise error(f"unknown {name} {value!r}", remedy=did_you_mean(str(value), choices))
