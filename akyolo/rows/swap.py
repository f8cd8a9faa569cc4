"""Swap plain convolutions of a model YAML for an operator, or the other way round.

A rule changes rows of two kinds: a 3x3 `Conv` (or an operator in its place), and a CSP block, in whose bottlenecks the
second convolution is swapped:

    [-1, 1, Conv, [128, 3, 2]]  <->  [-1, 1, AKConv, [128, 5, 2]]
    [-1, 3, C2f, [128, True]]   <->  [-1, 3, C2f(AKConv), [128, True, {num_param: 5}]]
"""

import copy
import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from akyolo.errors import RowError, did_you_mean
from akyolo.registry import OperatorSpec, is_registered, operator, operators
from akyolo.rows.grammar import (
    BLOCKS,
    ROW,
    bind,
    block_and_operator,
    grammar,
    is_whole,
    parts,
    section,
    source_of,
    split_mapping,
)

PLAIN = "Conv"
PLACES = {
    "downsample": "a 3x3 convolution of stride 2 after row 0",
    "bottleneck": f"a block {', '.join(BLOCKS)}",
    "elan_last": "the second of two 3x3 convolutions before a Concat of 4 rows in the backbone",
    "all3x3": f"a 3x3 convolution or a block {', '.join(BLOCKS)}",
}
_NUMBERS = re.compile(r"\s*[0-9]+\s*(,\s*[0-9]+\s*)*")
_OF_THE_ROW = ("c1", "c2", "stride")  # arguments that a rule leaves as they are
_TRIAL_CHANNELS = 16


@dataclass(frozen=True)
class SwapRule:
    """What to write where.

    Args:
        op: a registered operator that stands in for `Conv`, or `Conv` itself to swap back.
        args: its arguments after c2, in the order of its constructor and without stride.
        where: `downsample`, `bottleneck`, `elan_last`, `all3x3`, or row numbers such as `5,12`.
        keywords: further arguments, by name.
    """

    op: str
    args: tuple[Any, ...]
    where: str
    keywords: Mapping[str, Any] = field(default_factory=dict)


class ChangedRow(NamedTuple):
    """One row of the model, before and after."""

    number: int
    before: list[Any]
    after: list[Any]


@dataclass(frozen=True)
class _Place:
    """What a rule keeps of a row: its arguments, and its stride (None: it writes none) or the block that it is."""

    args: list[Any]
    stride: int | None = None
    block: str = ""


def swap(cfg: Mapping[str, Any], rule: SwapRule) -> tuple[dict[str, Any], list[ChangedRow]]:
    """Write the rule's operator into the rows that it names; channels, strides and sources stay.

    Args:
        cfg: a model YAML as a mapping; not changed.
        rule: what to write where.

    Returns:
        The new mapping, which shares nothing with `cfg`, and its changed rows in order.

    Raises:
        RowError: an operator, argument or place that cannot be, a row that cannot be read, or a rule that changes none.
    """
    spec = _target(rule)
    file = source_of(cfg)
    # row by row: a YAML anchor makes one list of several rows
    backbone, head = ([copy.deepcopy(row) for row in section(cfg, name, file)] for name in ("backbone", "head"))
    rows = [*backbone, *head]
    places = {index: place for index, row in enumerate(rows) if (place := _place(row, _where(file, index)))}
    chosen = _chosen(rule.where, rows, places, len(backbone), file)
    changes = []
    for index in chosen:
        row, before = rows[index], copy.deepcopy(rows[index])
        row[2:] = _written(rule, spec, places[index], _where(file, index))
        if row != before:
            changes.append(ChangedRow(index, before, copy.deepcopy(row)))
    if not changes:
        raise RowError(f"{rule.where} changes nothing: row {_listed(chosen)} already is so", where=file)
    return {**copy.deepcopy(dict(cfg)), "backbone": backbone, "head": head}, changes


def _where(file: str, index: int) -> str:
    return f"{file}, row {index}"


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


# the rule


def _target(rule: SwapRule) -> OperatorSpec | None:
    """The operator to write, its arguments checked; None for the plain convolution."""
    if rule.op == PLAIN:
        if rule.args != (3,) or rule.keywords:
            raise RowError(f"{PLAIN} is written back as 3x3 only", remedy="its one argument is 3, the kernel size")
        return None
    known = {spec.name: spec for spec in operators()}
    if rule.op not in known:
        raise RowError(f"unknown operator {rule.op!r}", remedy=did_you_mean(rule.op, [PLAIN, *known]))
    spec = known[rule.op]
    _check_values(spec, _by_name(rule, spec))
    return spec


def _parameters(spec: OperatorSpec) -> dict[str, inspect.Parameter]:
    """The constructor's parameters after c1 and c2, in order."""
    return {name: p for name, p in spec.signature.parameters.items() if name not in ("c1", "c2")}


def _by_name(rule: SwapRule, spec: OperatorSpec) -> dict[str, Any]:
    """All arguments of the rule by their names, as a block's mapping has them."""
    parameters = _parameters(spec)
    remedy = f"{rule.op} takes {grammar(spec)}"
    for keyword in rule.keywords:
        if keyword in _OF_THE_ROW:
            raise RowError(f"{keyword} is the row's, not the rule's", remedy="leave it out")
        if keyword not in parameters:
            hint = did_you_mean(str(keyword), [name for name in parameters if name not in _OF_THE_ROW])
            raise RowError(f"{rule.op} has no argument {keyword!r}, {hint}", remedy=remedy)
    try:
        bound = inspect.Signature(list(parameters.values())).bind_partial(*rule.args, **rule.keywords).arguments
    except TypeError as error:
        raise RowError(f"{rule.op} {list(rule.args)}: {error}", remedy=remedy) from None
    if "stride" in bound:
        raise RowError(f"{rule.op} {list(rule.args)}: {bound['stride']!r} would be stride, the row's", remedy=remedy)
    missing = [name for name, p in parameters.items() if _is_required(p) and name not in (*bound, "stride")]
    if missing:
        raise RowError(f"{rule.op} {list(rule.args)}: missing a required argument: {missing[0]!r}", remedy=remedy)
    return dict(bound)


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind not in (
        parameter.VAR_POSITIONAL,
        parameter.VAR_KEYWORD,
    )


def _check_values(spec: OperatorSpec, named: Mapping[str, Any]) -> None:
    """Build one, so that a value that no kernel can have is found before anything is written."""
    stride = {"stride": 1} if "stride" in _parameters(spec) else {}
    try:
        with torch.random.fork_rng(devices=[]):  # the weights drawn here are nobody's
            spec.module(_TRIAL_CHANNELS, _TRIAL_CHANNELS, **copy.deepcopy(dict(named)), **stride)
    except RowError as error:
        raise RowError(error.what, where=spec.name, remedy=error.remedy) from None
    except Exception:  # of these channels, perhaps; building the model will tell
        return


# the rows


def _place(row: Any, where: str) -> _Place | None:
    """What a rule keeps of this row; None where no rule may change it."""
    _, _, name, args = parts(row, where)
    if not isinstance(name, str):
        raise RowError(f"{row!r} is no row", where=where, remedy=ROW)
    if name == PLAIN:
        return _Place(args[:1], *args[2:]) if _is_plain_3x3(args) else None
    block, inner = block_and_operator(name)
    if not is_registered(inner):
        return _Place(args, block=name) if name in BLOCKS else None
    if block:
        return _Place(split_mapping(args)[0], block=block)
    return _operator_place(operator(name), args, where) if operator(name).stands_in == PLAIN else None


def _is_plain_3x3(args: list[Any]) -> bool:
    """[c2, 3] or [c2, 3, stride]."""
    return len(args) in (2, 3) and is_whole(args[1]) and args[1] == 3 and all(is_whole(s) and s > 0 for s in args[2:])


def _operator_place(spec: OperatorSpec, args: list[Any], where: str) -> _Place:
    bound = bind(spec, args, where)
    stride = bound.arguments.get("stride")
    bound.apply_defaults()
    if stride is None and bound.arguments.get("stride", 1) != 1:
        stride = bound.arguments["stride"]  # written nowhere, but not what a Conv would do
    if stride is not None and (not is_whole(stride) or stride < 1):
        raise RowError(f"stride={stride!r} must be a whole number of at least 1", where=where)
    return _Place([bound.arguments["c2"]], stride)


def _written(rule: SwapRule, spec: OperatorSpec | None, place: _Place, where: str) -> tuple[str, list[Any]]:
    """Module and arguments of the new row."""
    if spec is None:
        stride = [] if place.stride is None else [place.stride]
        return (place.block, place.args) if place.block else (PLAIN, [*place.args, 3, *stride])
    if place.block:
        mapping = copy.deepcopy(_by_name(rule, spec))
        return f"{place.block}({rule.op})", [*place.args, *([mapping] if mapping else [])]
    by_place, by_name = _stride(rule, spec, place.stride, where)
    mapping = copy.deepcopy({**rule.keywords, **by_name})
    return rule.op, [*place.args, *copy.deepcopy(rule.args), *by_place, *([mapping] if mapping else [])]


def _stride(
    rule: SwapRule, spec: OperatorSpec, stride: int | None, where: str
) -> tuple[tuple[int, ...], dict[str, int]]:
    """How the new row writes its stride: as the next argument, or by name where others come before it."""
    parameters = _parameters(spec)
    parameter = parameters.get("stride")
    if parameter is None:
        if stride not in (None, 1):
            raise RowError(f"{rule.op} has no stride and cannot take a row of stride {stride}", where=where)
        return (), {}
    if stride is None:
        if parameter.default == 1:
            return (), {}
        stride = 1  # what the row does now, and this operator would not do by itself
    following = list(parameters)[len(rule.args) :]
    is_next = following[:1] == ["stride"] and parameter.kind is not parameter.KEYWORD_ONLY
    return ((stride,), {}) if is_next else ((), {"stride": stride})


# the places


def _chosen(where: str, rows: list[Any], places: Mapping[int, _Place], backbone: int, file: str) -> list[int]:
    if _NUMBERS.fullmatch(where):
        return _numbered(where, rows, places, file)
    if where not in PLACES:
        raise RowError(
            f"unknown place {where!r}", remedy=f"{did_you_mean(where, PLACES)} Or name rows by number, as 5,12"
        )
    of_place = {
        "downsample": lambda i: i > 0 and places[i].stride == 2,
        "bottleneck": lambda i: bool(places[i].block),
        "elan_last": lambda i: i < backbone - 1 and _is_last_of_elan(i, rows, places),
        "all3x3": lambda _: True,
    }[where]
    found = [index for index in places if of_place(index)]
    if not found:
        raise RowError(f"{where} looks for {PLACES[where]}, and there is none", where=file)
    return found


def _is_last_of_elan(index: int, rows: list[Any], places: Mapping[int, _Place]) -> bool:
    """Row `index` and the one before are a chain of two 3x3 convolutions of stride 1, then a Concat of 4 rows."""
    for i in (index - 1, index):
        if i not in places or places[i].block or places[i].stride not in (None, 1) or rows[i][0] != -1:
            return False
    sources, _, module, _ = rows[index + 1]
    return module == "Concat" and isinstance(sources, list) and len(sources) == 4


def _numbered(where: str, rows: list[Any], places: Mapping[int, _Place], file: str) -> list[int]:
    numbers = sorted({int(number) for number in where.split(",")})
    for number in numbers:
        if number >= len(rows):
            raise RowError(f"there is no row {number}", where=file, remedy=f"its rows are 0 to {len(rows) - 1}")
        if number not in places:
            raise RowError(_why_not(*rows[number][2:]), where=_where(file, number))
    return numbers


def _why_not(name: str, args: list[Any]) -> str:
    """Why no rule may change a row of this module."""
    block, inner = block_and_operator(name)
    if block:
        return f"{name} cannot be swapped: {inner} is no operator"
    if name == PLAIN:
        return f"{name} {args} cannot be swapped: only a plain 3x3, [c2, 3] or [c2, 3, stride], can"
    return f"{name} {args} cannot be swapped: it is no {PLAIN}, nothing in its place, and no block {', '.join(BLOCKS)}"
