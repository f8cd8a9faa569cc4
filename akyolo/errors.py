"""The errors a user can cause. Each says what is wrong, where, and what would be right."""

import difflib
from collections.abc import Iterable


class AkyoloError(Exception):
    """A mistake in what the user gave us; the command line prints it and exits with code 2.

    Args:
        what: what is wrong, in one line.
        where: the file, and the row or key in it, that is meant.
        remedy: what would be right.
    """

    def __init__(self, what: str, *, location: str | None = None, remedy: str | None = None) -> None:
        self.what, self.location, self.remedy = what, location, remedy
        message = f"{location}: {what}" if location else what
        super().__init__(f"{message}\n  {remedy}" if remedy else message)


class ConfigError(AkyoloError):
    """A command-line argument, setting or configuration file that cannot be used."""


class RowError(AkyoloError):
    """A model YAML, or one row of it, that cannot be built."""


class DatasetError(AkyoloError):
    """A data set that is missing, incomplete or contradicts itself."""


class CheckpointError(AkyoloError):
    """Weights that cannot be read, or do not fit the model."""


class TrainingError(AkyoloError):
    """A training that had to stop."""


class EvaluationError(AkyoloError):
    """An evaluation whose numbers would be wrong."""


def first_line(error: BaseException) -> str:
    """The first line that says something in a message of somebody else's, else the kind of error it is."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Name the known words closest to `word`, or all of them when none is close."""
    known = sorted(known)
    folded = {name.lower(): name for name in known}
    close = [folded[name] for name in difflib.get_close_matches(word.lower(), folded, n=3, cutoff=0.6)]
    return f"did you mean {' or '.join(map(repr, close))}?" if close else f"known: {', '.join(known)}"
