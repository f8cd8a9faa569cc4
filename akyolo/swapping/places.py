"""The rows of a model YAML that a swap may change, and what it keeps of each.

Dense 3x3 convolutions are rows of their own or stand in the bottlenecks of a CSP block; depthwise and pointwise ones
are keywords of our blocks, and a pointwise one may be a row of its own too.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from akyolo.blocks.slots import KERNEL_SIZES, PLAIN
from akyolo.checks import COUNTING, WHOLE, check_number
from akyolo.errors import RowError, did_you_mean
from akyolo.model_yaml.syntax import BLOCKS, ROW, bind, block_and_operator, parts, split_mapping
from akyolo.registry import OperatorSpec, is_registered, operator

PLACES = {
    "downsample": "a 3x3 convolution of stride 2 after row 0",
    "bottleneck": f"a block {', '.join(BLOCKS)}",
    "elan_last": "the second of two 3x3 convolutions before a Concat of 4 rows in the backbone",
    "all3x3": f"a 3x3 convolution or a block {', '.join(BLOCKS)}",
    "depthwise": "a block with a depthwise convolution",
    "pointwise": "a block with pointwise convolutions, or a 1x1 convolution of stride 1",
}
_NUMBERS = re.compile(r"\s*[0-9]+\s*(,\s*[0-9]+\s*)*")


@dataclass(frozen=True)
class Place:
    """What a swap keeps of a row.

    Args:
        args: its arguments by place.
        stride: None where it writes none.
        block: the block that it is, "" for a convolution.
        kind: `depthwise` or `pointwise`; "" for a dense 3x3.
        keywords: of one of our blocks.
    """

    args: list[Any]
    stride: int | None = None
    block: str = ""
    kind: str = ""
    keywords: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kernel_size(self) -> int:
        """Of the plain convolution there."""
        return KERNEL_SIZES.get(self.kind, 3)


def place_of(row: Any, wanted: str, where: str) -> Place | None:
    """What a rule for the place `wanted` keeps of this row; None where it may not change it.

    Args:
        row: of a model YAML.
        wanted: a key of PLACES, or row numbers.
        where: file and row, for messages.

    Raises:
        RowError: a row that cannot be read.
    """
    _, _, name, args = parts(row, where)
    if not isinstance(name, str):
        raise RowError(f"{row!r} is no row", location=where, remedy=ROW)
    kind = "pointwise" if wanted == "pointwise" else ""
    if name == PLAIN:
        stride = args[2] if len(args) == 3 else None
        return Place(args[:1], stride, kind=kind) if _is_plain(args, 1 if kind else 3) else None
    block, inner = block_and_operator(name)
    if not is_registered(inner):
        return Place(args, block=name) if name in BLOCKS else None
    if block:
        return Place(split_mapping(args)[0], block=block)
    spec = operator(name)
    if spec.stands_in == PLAIN:
        return _operator_place(spec, args, kind, where)
    return _block_place(spec, args, kind or "depthwise", where)


def _is_plain(args: list[Any], kernel_size: int) -> bool:
    """[c2, 3] or [c2, 3, stride]; [c2, 1] or [c2, 1, 1]."""
    if len(args) not in (2, 3) or args[1] not in WHOLE or args[1] != kernel_size:
        return False
    return all(s in COUNTING and (s == 1 or kernel_size != 1) for s in args[2:])


def _operator_place(spec: OperatorSpec, args: list[Any], kind: str, where: str) -> Place | None:
    bound = bind(spec, args, where)
    stride = bound.arguments.get("stride")
    bound.apply_defaults()
    if stride is None and bound.arguments.get("stride", 1) != 1:
        stride = bound.arguments["stride"]  # written nowhere, but not what a Conv would do
    if stride is not None:
        check_number(f"stride={stride!r}", stride, COUNTING, location=where)
    is_pointwise = bound.arguments.get("kernel_size") == 1 and stride in (None, 1)
    return Place([bound.arguments["c2"]], stride, kind=kind) if is_pointwise == bool(kind) else None


def _block_place(spec: OperatorSpec, args: list[Any], kind: str, where: str) -> Place | None:
    if kind not in spec.signature.parameters:
        return None
    bind(spec, args, where)
    positional, keywords = split_mapping(args)
    return Place(positional, block=spec.name, kind=kind, keywords=keywords)


def chosen(where: str, rows: list[Any], places: Mapping[int, Place], backbone: int, file: str) -> list[int]:
    """The rows that `where` names, in order.

    Args:
        where: a key of PLACES, or row numbers.
        rows: all of a model YAML.
        places: those that a rule for `where` may change, by row.
        backbone: how many rows the backbone has.
        file: for messages.

    Raises:
        RowError: an unknown place, one that the model does not have, or a row that no rule may change.
    """
    if _NUMBERS.fullmatch(where):
        return _numbered(where, rows, places, file)
    if where not in PLACES:
        raise RowError(
            f"unknown place {where!r}", remedy=f"{did_you_mean(where, PLACES)}; or name rows by number, as 5,12"
        )
    of_place = {
        "downsample": lambda i: i > 0 and places[i].stride == 2,
        "bottleneck": lambda i: bool(places[i].block) and not places[i].kind,
        "elan_last": lambda i: i < backbone - 1 and _is_last_of_elan(i, rows, places),
        "all3x3": lambda i: not places[i].kind,
        "depthwise": lambda i: places[i].kind == where,
        "pointwise": lambda i: places[i].kind == where,
    }[where]
    found = [index for index in places if of_place(index)]
    if not found:
        raise RowError(f"{where} looks for {PLACES[where]}, and there is none", location=file)
    return found


def _is_last_of_elan(index: int, rows: list[Any], places: Mapping[int, Place]) -> bool:
    """Row `index` and the one before are a chain of two 3x3 convolutions of stride 1, then a Concat of 4 rows."""
    for i in (index - 1, index):
        if i not in places or places[i].block or places[i].stride not in (None, 1) or rows[i][0] != -1:
            return False
    sources, _, module, _ = rows[index + 1]
    return module == "Concat" and isinstance(sources, list) and len(sources) == 4


def _numbered(where: str, rows: list[Any], places: Mapping[int, Place], file: str) -> list[int]:
    numbers = sorted({int(number) for number in where.split(",")})
    for number in numbers:
        if number >= len(rows):
            raise RowError(f"there is no row {number}", location=file, remedy=f"its rows are 0 to {len(rows) - 1}")
        if number not in places:
            raise RowError(_why_not(*rows[number][2:]), location=f"{file}, row {number}")
    return numbers


def _why_not(name: str, args: list[Any]) -> str:
    """Why no rule may change a row of this module."""
    block, inner = block_and_operator(name)
    if block:
        return f"{name} cannot be swapped: {inner} is no operator"
    if name == PLAIN:
        return f"{name} {args} cannot be swapped: only a plain 3x3, [c2, 3] or [c2, 3, stride], can"
    if is_registered(name) and operator(name).stands_in == PLAIN:
        return f"{name} {args} cannot be swapped by number: a 1x1 is the place pointwise"
    return f"{name} {args} cannot be swapped: it is no {PLAIN}, nothing in its place, and no block that holds one"
