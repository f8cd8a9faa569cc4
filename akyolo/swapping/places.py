"""The places that a rule may name."""

import re
from collections.abc import Mapping, Sequence

from akyolo.blocks.slots import PLAIN
from akyolo.errors import RowError, did_you_mean
from akyolo.model_yaml.syntax import BLOCKS
from akyolo.swapping.convolutions import Convolution, ConvRow, CspBlock, Row
from akyolo.swapping.rule import DENSE

PLACES = {
    "downsample": "a 3x3 convolution of stride 2 after row 0",
    "bottleneck": f"a block {', '.join(BLOCKS)}",
    "elan_last": "the second of two 3x3 convolutions before a Concat of 4 rows in the backbone",
    "all3x3": f"a 3x3 convolution or a block {', '.join(BLOCKS)}",
    "depthwise": "a block with a depthwise convolution",
    "pointwise": "a block with pointwise convolutions, or a 1x1 convolution of stride 1",
}
_NUMBERS = re.compile(r"\s*[0-9]+\s*(,\s*[0-9]+\s*)*")


def select_rows(
    where: str, rows: Sequence[Row], convolutions: Mapping[int, Convolution], backbone: int, file: str
) -> list[int]:
    """Return the row numbers that a rule selects.

    Args:
        where: a key of PLACES, or row numbers.
        rows: all rows of a model YAML.
        convolutions: what a rule for `where` may replace, by the number of its row.
        backbone: number of rows of the backbone.
        file: for messages.

    Raises:
        RowError: an unknown place, a place that the model does not have, or a row that no rule may change.
    """
    if _NUMBERS.fullmatch(where):
        return _numbered_rows(where, rows, convolutions, file)
    if where not in PLACES:
        raise RowError(
            f"unknown place {where!r}", remedy=f"{did_you_mean(where, PLACES)}; or name rows by number, as 5,12"
        )
    is_selected = {
        "downsample": lambda i, place: i > 0 and isinstance(place, ConvRow) and place.stride == 2,
        "bottleneck": lambda _, place: isinstance(place, CspBlock),
        "elan_last": lambda i, _: i < backbone - 1 and _is_last_of_elan(i, rows, convolutions),
        "all3x3": lambda _, place: place.role == DENSE,
        "depthwise": lambda _, place: place.role == where,
        "pointwise": lambda _, place: place.role == where,
    }[where]
    numbers = [number for number, place in convolutions.items() if is_selected(number, place)]
    if not numbers:
        raise RowError(f"{where} looks for {PLACES[where]}, and there is none", location=file)
    return numbers


def _is_last_of_elan(number: int, rows: Sequence[Row], convolutions: Mapping[int, Convolution]) -> bool:
    """Return whether a row ends a YOLOv7 ELAN.

    This row and the one before are 3x3 convolutions of stride 1 in a chain. A Concat of 4 rows follows.
    """
    for i in (number - 1, number):
        place = convolutions.get(i)
        if not isinstance(place, ConvRow) or place.stride not in (None, 1) or rows[i].source != -1:
            return False
    following = rows[number + 1]
    return following.module == "Concat" and isinstance(following.source, list) and len(following.source) == 4


def _numbered_rows(where: str, rows: Sequence[Row], convolutions: Mapping[int, Convolution], file: str) -> list[int]:
    """Return the row numbers that a rule names."""
    numbers = sorted({int(number) for number in where.split(",")})
    for number in numbers:
        if number >= len(rows):
            raise RowError(f"there is no row {number}", location=file, remedy=f"its rows are 0 to {len(rows) - 1}")
        if number not in convolutions:
            raise RowError(_reason(rows[number]), location=rows[number].location)
    return numbers


def _reason(row: Row) -> str:
    """Return why no rule may change a row."""
    if row.block:
        return f"{row.module} cannot be swapped: {row.inner} is not an operator"
    if row.module == PLAIN:
        return f"{PLAIN} {row.args} cannot be swapped: only a plain 3x3, [c2, 3] or [c2, 3, stride], can"
    if row.spec and row.spec.stands_in == PLAIN:
        return f"{row.module} {row.args} cannot be swapped by number: a 1x1 is the place pointwise"
    return f"{row.module} {row.args} cannot be swapped: it is not {PLAIN}, an operator, or a block that holds one"
