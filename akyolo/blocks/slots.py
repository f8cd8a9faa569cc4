"""The replaceable convolutions of a block.

    [-1, 1, DWBottleneck, [512, 2, {depthwise: {DeformKernel: {scope: 4}}, pointwise: CondConv}]]

The keywords `depthwise` and `pointwise` hold the name of an operator, or its name and its own arguments. The block sets
channels, kernel size, stride and activation, and the groups of a depthwise convolution. A pointwise convolution has one
group unless the row says otherwise.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from akyolo.errors import RowError, did_you_mean
from akyolo.registry import OperatorSpec, operators
from akyolo.upstream_blocks import Conv

PLAIN = "Conv"
KERNEL_SIZES = {"depthwise": 3, "pointwise": 1}
# the arguments that the block sets, and that an operator in that slot must have
SET_BY_BLOCK = {"depthwise": ("kernel_size", "stride", "groups", "act"), "pointwise": ("kernel_size", "act")}
Written = str | Mapping[str, Mapping[str, Any] | None]


def depthwise_conv(written: Written, channels: int, stride: int, act: bool | nn.Module) -> nn.Module:
    """Return the depthwise 3x3 with BN and activation.

    Args:
        written: what the row has under `depthwise`.
        channels: input and output channels.
        stride: stride in both directions.
        act: true for upstream's activation, false for none, or a module.

    Raises:
        RowError: as `replacement`.
    """
    spec, own = replacement("depthwise", written)
    if spec is None:
        return Conv(channels, channels, 3, stride, g=channels, act=act)
    return spec.module(channels, channels, kernel_size=3, stride=stride, groups=channels, act=act, **own)


def pointwise_conv(written: Written, c1: int, c2: int, act: bool | nn.Module) -> nn.Module:
    """Return a 1x1 with BN and activation.

    Args:
        written: what the row has under `pointwise`.
        c1: input channels.
        c2: output channels.
        act: true for upstream's activation, false for none, or a module.

    Raises:
        RowError: as `replacement`.
    """
    spec, own = replacement("pointwise", written)
    if spec is None:
        return Conv(c1, c2, 1, act=act)
    dense = {"groups": 1} if "groups" in spec.signature.parameters else {}
    return spec.module(c1, c2, kernel_size=1, act=act, **{**dense, **own})


def activation(act: bool | nn.Module) -> nn.Module:
    """Return an activation as Ultralytics' Conv does.

    Args:
        act: true for upstream's activation, false for none, or a module.
    """
    return Conv.default_act if act is True else act if isinstance(act, nn.Module) else nn.Identity()


def fitting_operators(slot: str) -> list[str]:
    """Return the operators that fit a slot.

    They have all arguments that a block sets there.

    Example:
        >>> import akyolo
        >>> from akyolo.blocks.slots import fitting_operators
        >>> fitting_operators("depthwise")
        ['CondConv', 'DeformConv', 'DeformKernel', 'DeformKernelConv', 'GlobalDeformKernel', 'ModulatedDeformConv']
    """
    return [spec.name for spec in operators() if spec.signature.parameters.keys() >= {*SET_BY_BLOCK[slot]}]


def replacement(slot: str, written: Any) -> tuple[OperatorSpec | None, dict[str, Any]]:
    """Return the operator in a slot, with its arguments.

    Args:
        slot: `depthwise` or `pointwise`.
        written: what the row has under that keyword.

    Returns:
        The operator, None for a plain Conv; its arguments by name.

    Raises:
        RowError: an operator that does not fit, or arguments that it does not have or that the block sets.
    """
    name, own = _name_and_arguments(slot, written)
    if name == PLAIN:
        if own:
            raise RowError(f"{slot}: {PLAIN} takes no arguments here", remedy=f"write {slot}: {PLAIN}")
        return None, own
    specs = {spec.name: spec for spec in operators()}
    fitting = fitting_operators(slot)
    if name not in fitting:
        lacking = name in specs and _lacking(specs[name], slot)
        reason = f"cannot be used here: it does not have {lacking}" if lacking else "is not an operator"
        raise RowError(f"{slot}: {name} {reason}", remedy=did_you_mean(name, [PLAIN, *fitting]))
    _check_own(slot, specs[name], own)
    return specs[name], own


def _name_and_arguments(slot: str, written: Any) -> tuple[str, dict[str, Any]]:
    """Return the name and arguments in a slot."""
    if isinstance(written, str):
        return written, {}
    if isinstance(written, Mapping) and len(written) == 1:
        ((name, own),) = written.items()
        if isinstance(name, str) and isinstance(own, Mapping | None):
            return name, dict(own or {})
    raise RowError(
        f"{slot}: {written!r} is not an operator",
        remedy=f"write {slot}: NAME, or {slot}: {{NAME: {{argument: value}}}}",
    )


def _lacking(spec: OperatorSpec, slot: str) -> str:
    """Return the arguments that an operator lacks."""
    return " and ".join(name for name in SET_BY_BLOCK[slot] if name not in spec.signature.parameters)


def _check_own(slot: str, spec: OperatorSpec, own: Mapping[str, Any]) -> None:
    """Refuse arguments that a row cannot give.

    The operator does not have them, or the block sets them.
    """
    set_by_block = ("c1", "c2", "stride", *SET_BY_BLOCK[slot])
    free = [name for name in spec.signature.parameters if name not in set_by_block]
    for key in own:
        if key in set_by_block:
            raise RowError(f"{slot}: {key} of {spec.name} is set by the block", remedy=f"leave out {key}={own[key]!r}")
        if key not in free:
            raise RowError(f"{slot}: {spec.name} has no argument {key!r}", remedy=did_you_mean(str(key), free))
    try:
        spec.signature.bind(0, 0, **dict.fromkeys(SET_BY_BLOCK[slot]), **own)
    except TypeError as error:
        raise RowError(f"{slot}: {spec.name}: {error}") from None
