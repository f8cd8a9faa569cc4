"""Swap plain convolutions of a model YAML for an operator, or the other way round.

A rule changes rows of three kinds: a `Conv` (or an operator in its place), a CSP block, in whose bottlenecks the second
convolution is swapped, and a block of ours, whose keywords name its convolutions:

    [-1, 1, Conv, [128, 3, 2]]     <->  [-1, 1, AKConv, [128, 5, 2]]
    [-1, 3, C2f, [128, True]]      <->  [-1, 3, C2f(AKConv), [128, True, {num_param: 5}]]
    [-1, 1, DWBottleneck, [512]]   <->  [-1, 1, DWBottleneck, [512, {depthwise: {CondConv: {experts: 4}}}]]
"""

import copy
import inspect
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch

from akyolo.blocks.slots import KERNEL_SIZES, PLAIN, replacement
from akyolo.errors import RowError, did_you_mean
from akyolo.model_yaml.syntax import grammar, section, source_of
from akyolo.registry import OperatorSpec, operators
from akyolo.swapping.places import Place, chosen, place_of

_OF_THE_ROW = ("c1", "c2", "stride")  # arguments that a rule leaves as they are
_TRIAL_CHANNELS = 16


@dataclass(frozen=True)
class SwapRule:
    """What to write where.

    Args:
        op: a registered operator that stands in for `Conv`, or `Conv` itself to swap back.
        args: its arguments after c2, in the order of its constructor and without stride; the kernel size may be left
            out where the place has one, at `depthwise` and `pointwise`.
        where: a place (`akyolo.swapping.places.PLACES`), or row numbers such as `5,12`; of a block of ours a number
            means the depthwise convolution.
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
    found = {index: place_of(row, rule.where, _where(file, index)) for index, row in enumerate(rows)}
    places = {index: place for index, place in found.items() if place}
    indices = chosen(rule.where, rows, places, len(backbone), file)
    rules = {kind: _completed(rule, spec, kind) for kind in {places[index].kind for index in indices}}
    changes = []
    for index in indices:
        row, before = rows[index], copy.deepcopy(rows[index])
        row[2:] = _written(rules[places[index].kind], spec, places[index], _where(file, index))
        if row != before:
            changes.append(ChangedRow(index, before, copy.deepcopy(row)))
    if not changes:
        raise RowError(f"{rule.where} changes nothing: row {_listed(indices)} already is so", where=file)
    return {**copy.deepcopy(dict(cfg)), "backbone": backbone, "head": head}, changes


def _where(file: str, index: int) -> str:
    return f"{file}, row {index}"


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


# the rule


def _target(rule: SwapRule) -> OperatorSpec | None:
    """The operator to write; None for the plain convolution."""
    known = {spec.name: spec for spec in operators()}
    if rule.op != PLAIN and rule.op not in known:
        raise RowError(f"unknown operator {rule.op!r}", remedy=did_you_mean(rule.op, [PLAIN, *known]))
    return known.get(rule.op)


def _completed(rule: SwapRule, spec: OperatorSpec | None, kind: str) -> SwapRule:
    """The rule for places of this kind, checked, and with their kernel size where an operator needs to be told."""
    if spec is None:
        _check_plain(rule, kind)
        return rule
    if kind and "kernel_size" in _parameters(spec):
        rule = _with_kernel_size(rule, spec, kind)
    if kind == "pointwise":
        rule = _dense(rule, spec)
    named = _by_name(rule, spec)
    if kind:
        replacement(kind, {spec.name: _without_kernel_size(named)})
    _check_values(spec, named)
    return rule


def _check_plain(rule: SwapRule, kind: str) -> None:
    size = KERNEL_SIZES.get(kind, 3)
    if rule.keywords or rule.args not in [(size,), *([()] if kind else [])]:
        raise RowError(
            f"{PLAIN} is written back as {size}x{size} only", remedy=f"its one argument is {size}, the kernel size"
        )


def _with_kernel_size(rule: SwapRule, spec: OperatorSpec, kind: str) -> SwapRule:
    size, written = KERNEL_SIZES[kind], _bound(rule, spec).get("kernel_size")
    if written is None:
        first = next(iter(_parameters(spec)))
        if first == "kernel_size":
            return replace(rule, args=(size,))
        return replace(rule, keywords={**rule.keywords, "kernel_size": size})
    if written != size:
        raise RowError(
            f"kernel_size={written!r} does not fit a {kind} convolution: it is {size}", remedy="leave it out"
        )
    return rule


def _dense(rule: SwapRule, spec: OperatorSpec) -> SwapRule:
    """The rule with one group, as a pointwise convolution has, where the operator would take others by itself."""
    groups = _parameters(spec).get("groups")
    if groups is None or groups.default == 1 or "groups" in _bound(rule, spec):
        return rule
    return replace(rule, keywords={**rule.keywords, "groups": 1})


def _parameters(spec: OperatorSpec) -> dict[str, inspect.Parameter]:
    """The constructor's parameters after c1 and c2, in order."""
    return {name: p for name, p in spec.signature.parameters.items() if name not in ("c1", "c2")}


def _by_name(rule: SwapRule, spec: OperatorSpec) -> dict[str, Any]:
    """All arguments of the rule by their names, as a block's mapping has them."""
    bound = _bound(rule, spec)
    missing = [name for name, p in _parameters(spec).items() if _is_required(p) and name not in (*bound, "stride")]
    if missing:
        raise RowError(
            f"{rule.op} {list(rule.args)}: missing a required argument: {missing[0]!r}",
            remedy=f"{rule.op} takes {grammar(spec)}",
        )
    return bound


def _bound(rule: SwapRule, spec: OperatorSpec) -> dict[str, Any]:
    """What the rule says, by name."""
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
    return dict(bound)


def _without_kernel_size(named: Mapping[str, Any]) -> dict[str, Any]:
    """What a block of ours does not say by itself."""
    return {name: copy.deepcopy(value) for name, value in named.items() if name != "kernel_size"}


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind not in (
        parameter.VAR_POSITIONAL,
        parameter.VAR_KEYWORD,
    )


def _check_values(spec: OperatorSpec, named: Mapping[str, Any]) -> None:
    """Build one, without memory, so that a value that no kernel can have is found before anything is written.

    Its channels are those that any number of the rule divides: whether the row's do, building the model will tell.
    """
    stride = {"stride": 1} if "stride" in _parameters(spec) else {}
    channels = math.lcm(_TRIAL_CHANNELS, *(v for v in named.values() if isinstance(v, int) and v > 0))
    try:
        with torch.device("meta"):
            spec.module(channels, channels, **copy.deepcopy(dict(named)), **stride)
    except RowError as error:
        raise RowError(error.what, where=spec.name, remedy=error.remedy) from None
    except Exception:
        return


# the new row


def _written(rule: SwapRule, spec: OperatorSpec | None, place: Place, where: str) -> tuple[str, list[Any]]:
    """Module and arguments of the new row."""
    if place.block and place.kind:
        return place.block, [*place.args, *_mapping(_keywords(rule, spec, place))]
    if spec is None:
        stride = [] if place.stride is None else [place.stride]
        return (place.block, place.args) if place.block else (PLAIN, [*place.args, place.kernel_size, *stride])
    named = copy.deepcopy(_by_name(rule, spec))
    if place.block:
        return f"{place.block}({rule.op})", [*place.args, *_mapping(named)]
    if not place.kind and named.get("kernel_size") == 1 and place.stride in (None, 1):
        raise RowError(f"{rule.op} of kernel_size=1 would be pointwise, and is no 3x3 to swap back", where=where)
    by_place, by_name = _stride(rule, spec, place.stride, where)
    mapping = copy.deepcopy({**rule.keywords, **by_name})
    return rule.op, [*place.args, *copy.deepcopy(rule.args), *by_place, *_mapping(mapping)]


def _mapping(keywords: dict[str, Any]) -> list[dict[str, Any]]:
    return [keywords] if keywords else []


def _keywords(rule: SwapRule, spec: OperatorSpec | None, place: Place) -> dict[str, Any]:
    """Those of one of our blocks, with the rule's operator or, for a plain convolution, without any there."""
    if spec is None:
        return {key: value for key, value in place.keywords.items() if key != place.kind}
    own = _without_kernel_size(_by_name(rule, spec))
    return {**place.keywords, place.kind: {spec.name: own} if own else spec.name}


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
