"""Bind the rule of a swap."""

import copy
import inspect
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from akyolo.blocks.slots import KERNEL_SIZES, PLAIN, replacement
from akyolo.errors import RowError, did_you_mean
from akyolo.model_yaml.syntax import grammar
from akyolo.registry import OperatorSpec, operators

DENSE = "dense"  # the role of a 3x3 convolution over all channels; the others are the keys of KERNEL_SIZES
_SET_BY_ROW = ("c1", "c2", "stride")  # arguments that a rule leaves as they are
_TRIAL_CHANNELS = 16


@dataclass(frozen=True)
class SwapRule:
    """The rule of a swap: what to write where.

    Args:
        op: a registered operator that stands in for `Conv`, or `Conv` itself to swap back.
        args: its arguments after c2, in the order of its constructor and without the stride. At `depthwise` and
            `pointwise` the kernel size may be left out, since the place has one.
        where: a place (`akyolo.swapping.places.PLACES`), or row numbers such as `5,12`. For a row with a block of
            akyolo, a number means its depthwise convolution.
        keywords: further arguments, by name.
    """

    op: str
    args: tuple[Any, ...]
    where: str
    keywords: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RoleArguments:
    """The arguments of an operator for one role.

    Args:
        positional: those that follow c2 in a row, in order.
        keywords: those in the mapping of a row.
        by_name: all of them, in the order of the constructor.
    """

    positional: tuple[Any, ...]
    keywords: Mapping[str, Any]
    by_name: Mapping[str, Any]


@dataclass(frozen=True)
class BoundRule:
    """A rule whose operator and arguments are checked.

    Args:
        op: the name of the operator, or `Conv`.
        spec: the operator; None for the plain convolution.
        parameters: those of the constructor after c1 and c2, in order.
        arguments: by the role of a convolution: `dense`, `depthwise` or `pointwise`.
    """

    op: str
    spec: OperatorSpec | None = None
    parameters: Mapping[str, inspect.Parameter] = field(default_factory=dict)
    arguments: Mapping[str, RoleArguments] = field(default_factory=dict)


def find_operator(name: str) -> OperatorSpec | None:
    """Return the operator of a name.

    It is None for the plain convolution.

    Raises:
        RowError: there is no such operator; the message names the closest.
    """
    specs = {spec.name: spec for spec in operators()}
    if name != PLAIN and name not in specs:
        raise RowError(f"unknown operator {name!r}", remedy=did_you_mean(name, [PLAIN, *specs]))
    return specs.get(name)


def bind_rule(rule: SwapRule, spec: OperatorSpec | None, roles: Collection[str]) -> BoundRule:
    """Bind a rule to its operator's constructor.

    Args:
        rule: what the user says.
        spec: the operator that the rule names; None for the plain convolution.
        roles: of the convolutions that the rule is going to replace.

    Raises:
        RowError: an argument that the operator does not have or refuses, or that does not fit one of the roles.
    """
    if spec is None:
        for role in roles:
            _check_plain(rule, role)
        return BoundRule(rule.op)
    parameters = {name: p for name, p in spec.signature.parameters.items() if name not in ("c1", "c2")}
    by_name = _bind(rule, spec, parameters)
    arguments = {role: _complete(rule, spec, parameters, by_name, role) for role in roles}
    return BoundRule(rule.op, spec, parameters, arguments)


def _check_plain(rule: SwapRule, role: str) -> None:
    """Refuse arguments of a plain convolution.

    It can only have the kernel size of its role.
    """
    size = KERNEL_SIZES.get(role, 3)
    if rule.keywords or rule.args not in [(size,), *([()] if role != DENSE else [])]:
        raise RowError(
            f"{PLAIN} can only be written back as {size}x{size}", remedy=f"its one argument is {size}, the kernel size"
        )


def _bind(rule: SwapRule, spec: OperatorSpec, parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """Return the arguments of the rule by name."""
    remedy = f"{rule.op} takes {grammar(spec)}"
    for keyword in rule.keywords:
        if keyword in _SET_BY_ROW:
            raise RowError(f"{keyword} is set by the row, not by the rule", remedy="leave it out")
        if keyword not in parameters:
            hint = did_you_mean(str(keyword), [name for name in parameters if name not in _SET_BY_ROW])
            raise RowError(f"{rule.op} has no argument {keyword!r}, {hint}", remedy=remedy)
    try:
        bound = inspect.Signature(list(parameters.values())).bind_partial(*rule.args, **rule.keywords).arguments
    except TypeError as error:
        raise RowError(f"{rule.op} {list(rule.args)}: {error}", remedy=remedy) from None
    if "stride" in bound:
        raise RowError(
            f"{rule.op} {list(rule.args)}: {bound['stride']!r} would be the stride, which the row sets", remedy=remedy
        )
    return bound


def _complete(
    rule: SwapRule,
    spec: OperatorSpec,
    parameters: Mapping[str, inspect.Parameter],
    bound: Mapping[str, Any],
    role: str,
) -> RoleArguments:
    """Return the checked arguments for one role.

    The kernel size and the groups of the role are added.
    """
    positional, keywords, values = rule.args, dict(rule.keywords), dict(bound)
    if role != DENSE and "kernel_size" in parameters:
        size = KERNEL_SIZES[role]
        if values.setdefault("kernel_size", size) != size:
            raise RowError(
                f"kernel_size={values['kernel_size']!r} does not fit a {role} convolution: it is {size}",
                remedy="leave it out",
            )
        if "kernel_size" not in bound and next(iter(parameters)) == "kernel_size":
            positional = (size,)
        elif "kernel_size" not in bound:
            keywords["kernel_size"] = size
    groups = parameters.get("groups")
    if role == "pointwise" and groups and groups.default != 1 and "groups" not in bound:
        values["groups"] = keywords["groups"] = 1  # a pointwise convolution is dense
    by_name = {name: values[name] for name in parameters if name in values}
    _check_complete(rule, spec, parameters, by_name)
    if role != DENSE:
        replacement(role, {spec.name: without_kernel_size(by_name)})
    _check_values(spec, by_name, parameters)
    return RoleArguments(positional, keywords, by_name)


def without_kernel_size(by_name: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments without the kernel size.

    They are a copy.
    """
    return {name: copy.deepcopy(value) for name, value in by_name.items() if name != "kernel_size"}


def _check_complete(
    rule: SwapRule, spec: OperatorSpec, parameters: Mapping[str, inspect.Parameter], by_name: Mapping[str, Any]
) -> None:
    """Refuse a rule without a required argument."""
    missing = [name for name, p in parameters.items() if _is_required(p) and name not in (*by_name, "stride")]
    if missing:
        raise RowError(
            f"{rule.op} {list(rule.args)}: missing a required argument: {missing[0]!r}",
            remedy=f"{rule.op} takes {grammar(spec)}",
        )


def _is_required(parameter: inspect.Parameter) -> bool:
    """Return whether a call must give this argument."""
    return parameter.default is parameter.empty and parameter.kind not in (
        parameter.VAR_POSITIONAL,
        parameter.VAR_KEYWORD,
    )


def _check_values(spec: OperatorSpec, by_name: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter]) -> None:
    """Refuse values that the operator cannot have.

    It is built without memory. Its number of channels is one that every integer of the rule divides. Whether the
    channels of the rows fit is checked when the model is built.
    """
    stride = {"stride": 1} if "stride" in parameters else {}
    channels = math.lcm(_TRIAL_CHANNELS, *(v for v in by_name.values() if isinstance(v, int) and v > 0))
    try:
        with torch.device("meta"):
            spec.module(channels, channels, **copy.deepcopy(dict(by_name)), **stride)
    except RowError as error:
        raise RowError(error.what, location=spec.name, remedy=error.remedy) from None
    except Exception:
        return
