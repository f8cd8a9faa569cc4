"""What `lower` remembers of our rows for `fill`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from akyolo.errors import RowError


@dataclass(frozen=True)
class PlannedRow:
    """One row of ours: its index in the model, and what its module is called with after what upstream knows.

    `block` is upstream's block that holds the operator, None for a row of its own; `of_block` are its own arguments.
    """

    index: int
    operator: str
    args: tuple[Any, ...]
    keywords: Mapping[str, Any]
    location: str
    block: str | None = None
    of_block: tuple[Any, ...] = ()

    def error(self, error: RowError) -> RowError:
        """The same error, naming the file and the row."""
        return RowError(error.what, location=self.location, remedy=error.remedy)


@dataclass(frozen=True)
class Plan:
    """The rows of a model YAML that are ours."""

    rows: tuple[PlannedRow, ...]
