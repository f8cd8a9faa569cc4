"""The rule of a swap: which operator, with which arguments, in which places; checked before anything is written."""

import copy
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from akyolo.blocks.slots import KERNEL_SIZES, PLAIN, replacement
from akyolo.errors import RowError, did_you_mean
from akyolo.model_yaml.syntax import grammar
from akyolo.registry import OperatorSpec, operators

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


def target(rule: SwapRule) -> OperatorSpec | None:
    """The operator to write; None for the plain convolution."""
    known = {spec.name: spec for spec in operators()}
    if rule.op != PLAIN and rule.op not in known:
        raise RowError(f"unknown operator {rule.op!r}", remedy=did_you_mean(rule.op, [PLAIN, *known]))
    return known.get(rule.op)


def completed(rule: SwapRule, spec: OperatorSpec | None, kind: str) -> SwapRule:
    """The rule for places of this kind, checked, and with their kernel size where an operator needs to be told."""
    if spec is None:
        _check_plain(rule, kind)
        return rule
    if kind and "kernel_size" in parameters(spec):
        rule = _with_kernel_size(rule, spec, kind)
    if kind == "pointwise":
        rule = _dense(rule, spec)
    named = by_name(rule, spec)
    if kind:
        replacement(kind, {spec.name: without_kernel_size(named)})
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
        first = next(iter(parameters(spec)))
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
    groups = parameters(spec).get("groups")
    if groups is None or groups.default == 1 or "groups" in _bound(rule, spec):
        return rule
    return replace(rule, keywords={**rule.keywords, "groups": 1})


def parameters(spec: OperatorSpec) -> dict[str, inspect.Parameter]:
    """The constructor's parameters after c1 and c2, in order."""
    return {name: p for name, p in spec.signature.parameters.items() if name not in ("c1", "c2")}


def by_name(rule: SwapRule, spec: OperatorSpec) -> dict[str, Any]:
    """All arguments of the rule by their names, as a block's mapping has them."""
    bound = _bound(rule, spec)
    missing = [name for name, p in parameters(spec).items() if _is_required(p) and name not in (*bound, "stride")]
    if missing:
        raise RowError(
            f"{rule.op} {list(rule.args)}: missing a required argument: {missing[0]!r}",
            remedy=f"{rule.op} takes {grammar(spec)}",
        )
    return bound


def _bound(rule: SwapRule, spec: OperatorSpec) -> dict[str, Any]:
    """What the rule says, by name."""
    accepted = parameters(spec)
    remedy = f"{rule.op} takes {grammar(spec)}"
    for keyword in rule.keywords:
        if keyword in _OF_THE_ROW:
            raise RowError(f"{keyword} is the row's, not the rule's", remedy="leave it out")
        if keyword not in accepted:
            hint = did_you_mean(str(keyword), [name for name in accepted if name not in _OF_THE_ROW])
            raise RowError(f"{rule.op} has no argument {keyword!r}, {hint}", remedy=remedy)
    try:
        bound = inspect.Signature(list(accepted.values())).bind_partial(*rule.args, **rule.keywords).arguments
    except TypeError as error:
        raise RowError(f"{rule.op} {list(rule.args)}: {error}", remedy=remedy) from None
    if "stride" in bound:
        raise RowError(f"{rule.op} {list(rule.args)}: {bound['stride']!r} would be stride, the row's", remedy=remedy)
    return dict(bound)


def without_kernel_size(named: Mapping[str, Any]) -> dict[str, Any]:
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
    stride = {"stride": 1} if "stride" in parameters(spec) else {}
    channels = math.lcm(_TRIAL_CHANNELS, *(v for v in named.values() if isinstance(v, int) and v > 0))
    try:
        with torch.device("meta"):
            spec.module(channels, channels, **copy.deepcopy(dict(named)), **stride)
    except RowError as error:
        raise RowError(error.what, location=spec.name, remedy=error.remedy) from None
    except Exception:
        return
