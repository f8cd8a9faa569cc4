"""Swap plain convolutions of a model YAML for an operator, or the other way round.

A rule changes rows of three kinds: a `Conv` (or an operator in its place), a CSP block, in whose bottlenecks the second
convolution is swapped, and a block of ours, whose keywords name its convolutions:

    [-1, 1, Conv, [128, 3, 2]]     <->  [-1, 1, AKConv, [128, 5, 2]]
    [-1, 3, C2f, [128, True]]      <->  [-1, 3, C2f(AKConv), [128, True, {num_param: 5}]]
    [-1, 1, DWBottleneck, [512]]   <->  [-1, 1, DWBottleneck, [512, {depthwise: {CondConv: {experts: 4}}}]]
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from akyolo.blocks.slots import PLAIN
from akyolo.errors import RowError
from akyolo.model_yaml.syntax import section, source_of
from akyolo.registry import OperatorSpec
from akyolo.swapping.places import Place, chosen, place_of
from akyolo.swapping.rule import SwapRule, by_name, completed, parameters, target, without_kernel_size


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
    spec = target(rule)
    file = source_of(cfg)
    # row by row: a YAML anchor makes one list of several rows
    backbone, head = ([copy.deepcopy(row) for row in section(cfg, name, file)] for name in ("backbone", "head"))
    rows = [*backbone, *head]
    found = {index: place_of(row, rule.where, _where(file, index)) for index, row in enumerate(rows)}
    places = {index: place for index, place in found.items() if place}
    indices = chosen(rule.where, rows, places, len(backbone), file)
    rules = {kind: completed(rule, spec, kind) for kind in {places[index].kind for index in indices}}
    changes = []
    for index in indices:
        row, before = rows[index], copy.deepcopy(rows[index])
        row[2:] = _written(rules[places[index].kind], spec, places[index], _where(file, index))
        if row != before:
            changes.append(ChangedRow(index, before, copy.deepcopy(row)))
    if not changes:
        raise RowError(f"{rule.where} changes nothing: row {_listed(indices)} already is so", location=file)
    return {**copy.deepcopy(dict(cfg)), "backbone": backbone, "head": head}, changes


def _where(file: str, index: int) -> str:
    return f"{file}, row {index}"


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def _written(rule: SwapRule, spec: OperatorSpec | None, place: Place, where: str) -> tuple[str, list[Any]]:
    """Module and arguments of the new row."""
    if place.block and place.kind:
        return place.block, [*place.args, *_mapping(_keywords(rule, spec, place))]
    if spec is None:
        stride = [] if place.stride is None else [place.stride]
        return (place.block, place.args) if place.block else (PLAIN, [*place.args, place.kernel_size, *stride])
    named = copy.deepcopy(by_name(rule, spec))
    if place.block:
        return f"{place.block}({rule.op})", [*place.args, *_mapping(named)]
    if not place.kind and named.get("kernel_size") == 1 and place.stride in (None, 1):
        raise RowError(f"{rule.op} of kernel_size=1 would be pointwise, and is no 3x3 to swap back", location=where)
    by_place, by_keyword = _stride(rule, spec, place.stride, where)
    mapping = copy.deepcopy({**rule.keywords, **by_keyword})
    return rule.op, [*place.args, *copy.deepcopy(rule.args), *by_place, *_mapping(mapping)]


def _mapping(keywords: dict[str, Any]) -> list[dict[str, Any]]:
    return [keywords] if keywords else []


def _keywords(rule: SwapRule, spec: OperatorSpec | None, place: Place) -> dict[str, Any]:
    """Those of one of our blocks, with the rule's operator or, for a plain convolution, without any there."""
    if spec is None:
        return {key: value for key, value in place.keywords.items() if key != place.kind}
    own = without_kernel_size(by_name(rule, spec))
    return {**place.keywords, place.kind: {spec.name: own} if own else spec.name}


def _stride(
    rule: SwapRule, spec: OperatorSpec, stride: int | None, where: str
) -> tuple[tuple[int, ...], dict[str, int]]:
    """How the new row writes its stride: as the next argument, or by name where others come before it."""
    accepted = parameters(spec)
    parameter = accepted.get("stride")
    if parameter is None:
        if stride not in (None, 1):
            raise RowError(f"{rule.op} has no stride and cannot take a row of stride {stride}", location=where)
        return (), {}
    if stride is None:
        if parameter.default == 1:
            return (), {}
        stride = 1  # what the row does now, and this operator would not do by itself
    following = list(accepted)[len(rule.args) :]
    is_next = following[:1] == ["stride"] and parameter.kind is not parameter.KEYWORD_ONLY
    return ((stride,), {}) if is_next else ((), {"stride": stride})
