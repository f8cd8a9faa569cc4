"""The errors of users' input.

Each says what is wrong, where it is, and what to write instead.
"""

import difflib
from collections.abc import Iterable


class AkyoloError(Exception):
    """A mistake in the input of a user.

    The command line prints it and exits with code 2.

    Args:
        what: what is wrong, in one line.
        location: the file, and the row or key in it.
        remedy: what to write instead.

    Example:
        >>> from akyolo.errors import RowError
        >>> print(RowError("stride=0 must be a whole number of at least 1", location="my.yaml, row 3"))
        my.yaml, row 3: stride=0 must be a whole number of at least 1
    """

    def __init__(self, what: str, *, location: str | None = None, remedy: str | None = None) -> None:
        """Compose the message: location, what, and the remedy on a second line."""
        self.what, self.location, self.remedy = what, location, remedy
        message = f"{location}: {what}" if location else what
        super().__init__(f"{message}\n  {remedy}" if remedy else message)


class ConfigError(AkyoloError):
    """An argument, setting or file that cannot be used."""


class RowError(AkyoloError):
    """A model YAML, or one row of it, that cannot be built."""


class DatasetError(AkyoloError):
    """A missing, incomplete or contradictory data set."""


class CheckpointError(AkyoloError):
    """Weights that cannot be read or do not fit."""


class TrainingError(AkyoloError):
    """A training that an error stopped."""


class EvaluationError(AkyoloError):
    """An evaluation whose results would be wrong."""


def first_line(error: BaseException) -> str:
    r"""Return the first line of a message.

    Empty lines do not count. If there is no other, return the name of the error's class.

    Example:
        >>> from akyolo.errors import first_line
        >>> first_line(ValueError("\n  bad value\n  details")), first_line(KeyError())
        ('bad value', 'KeyError')
    """
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return a hint that names the choices closest to `word`.

    If none is close, the hint lists all choices.

    Example:
        >>> from akyolo.errors import did_you_mean
        >>> did_you_mean("akconv", ["AKConv", "CondConv"])
        "did you mean 'AKConv'?"
    """
    choices = sorted(choices)
    folded = {name.lower(): name for name in choices}
    close = [folded[name] for name in difflib.get_close_matches(word.lower(), folded, n=3, cutoff=0.6)]
    return f"did you mean {' or '.join(map(repr, close))}?" if close else f"known: {', '.join(choices)}"
