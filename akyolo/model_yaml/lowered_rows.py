"""The plan that `lower` makes for `fill`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from akyolo.errors import RowError


@dataclass(frozen=True)
class PlannedRow:
    """One row of ours in a plan.

    Args:
        index: its number in the model.
        operator: the name of the operator, block or head.
        args: arguments by place, after those that upstream decides.
        keywords: arguments by name.
        location: file and row, for messages.
        block: upstream's block that holds the operator, such as `C2f`; None if the module is the row's own.
        block_args: the arguments of that block after its channels.
    """

    index: int
    operator: str
    args: tuple[Any, ...]
    keywords: Mapping[str, Any]
    location: str
    block: str | None = None
    block_args: tuple[Any, ...] = ()

    def error(self, error: RowError) -> RowError:
        """Return the same error with file and row."""
        return RowError(error.what, location=self.location, remedy=error.remedy)


@dataclass(frozen=True)
class Plan:
    """The rows of a model YAML that are ours."""

    rows: tuple[PlannedRow, ...]
