"""The convolutions of a block that its row may replace, by the keywords `depthwise` and `pointwise`.

    [-1, 1, DWBottleneck, [512, 2, {depthwise: {DeformKernel: {scope: 4}}, pointwise: CondConv}]]

A keyword holds the name of an operator, or its name and its own arguments. Channels, kernel size, stride and activation
are the block's, and so are the groups of a depthwise convolution; a pointwise one has none unless the row says so.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from akyolo.errors import RowError, did_you_mean
from akyolo.registry import OperatorSpec, operators
from akyolo.upstream_blocks import Conv

PLAIN = "Conv"
KERNEL_SIZES = {"depthwise": 3, "pointwise": 1}
# what the block decides, and so what an operator in that place must take
GIVEN = {"depthwise": ("kernel_size", "stride", "groups", "act"), "pointwise": ("kernel_size", "act")}
Written = str | Mapping[str, Mapping[str, Any] | None]


def depthwise_conv(written: Written, channels: int, stride: int, act: bool | nn.Module) -> nn.Module:
    """The 3x3 convolution of each channel alone, with BN and activation: upstream's Conv, or the operator written.

    Raises:
        RowError: see `replacement`.
    """
    spec, own = replacement("depthwise", written)
    if spec is None:
        return Conv(channels, channels, 3, stride, g=channels, act=act)
    return spec.module(channels, channels, kernel_size=3, stride=stride, groups=channels, act=act, **own)


def pointwise_conv(written: Written, c1: int, c2: int, act: bool | nn.Module) -> nn.Module:
    """The 1x1 convolution from c1 to c2 channels, with BN and activation: upstream's Conv, or the operator written.

    Raises:
        RowError: see `replacement`.
    """
    spec, own = replacement("pointwise", written)
    if spec is None:
        return Conv(c1, c2, 1, act=act)
    dense = {"groups": 1} if "groups" in spec.signature.parameters else {}
    return spec.module(c1, c2, kernel_size=1, act=act, **{**dense, **own})


def activation(act: bool | nn.Module) -> nn.Module:
    """As in upstream's Conv: true for its default, false for none, or a module."""
    return Conv.default_act if act is True else act if isinstance(act, nn.Module) else nn.Identity()


def fitting(place: str) -> list[str]:
    """The operators that take what a block decides in this place."""
    return [spec.name for spec in operators() if spec.signature.parameters.keys() >= {*GIVEN[place]}]


def replacement(place: str, written: Any) -> tuple[OperatorSpec | None, dict[str, Any]]:
    """What a row writes under `depthwise` or `pointwise`: the operator (None for a plain Conv), and its own arguments.

    Raises:
        RowError: no operator that fits there, or arguments that it does not take or that are the block's.
    """
    name, own = _name_and_arguments(place, written)
    if name == PLAIN:
        if own:
            raise RowError(f"{place}: {PLAIN} takes no arguments there", remedy=f"write {place}: {PLAIN}")
        return None, own
    known = {spec.name: spec for spec in operators()}
    fit = fitting(place)
    if name not in fit:
        why = (
            f"cannot stand there: it does not take {_lacking(known[name], place)}"
            if name in known
            else "is no operator"
        )
        raise RowError(f"{place}: {name} {why}", remedy=did_you_mean(name, [PLAIN, *fit]))
    _check_own(place, known[name], own)
    return known[name], own


def _name_and_arguments(place: str, written: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(written, str):
        return written, {}
    if isinstance(written, Mapping) and len(written) == 1:
        ((name, own),) = written.items()
        if isinstance(name, str) and isinstance(own, Mapping | None):
            return name, dict(own or {})
    raise RowError(
        f"{place}: {written!r} is no operator", remedy=f"write {place}: NAME, or {place}: {{NAME: {{argument: value}}}}"
    )


def _lacking(spec: OperatorSpec, place: str) -> str:
    return " and ".join(name for name in GIVEN[place] if name not in spec.signature.parameters)


def _check_own(place: str, spec: OperatorSpec, own: Mapping[str, Any]) -> None:
    of_block = ("c1", "c2", "stride", *GIVEN[place])
    free = [name for name in spec.signature.parameters if name not in of_block]
    for key in own:
        if key in of_block:
            raise RowError(f"{place}: {key} of {spec.name} is the block's, not {own[key]!r}", remedy="leave it out")
        if key not in free:
            raise RowError(f"{place}: {spec.name} has no argument {key!r}", remedy=did_you_mean(str(key), free))
    try:
        spec.signature.bind(0, 0, **dict.fromkeys(GIVEN[place]), **own)
    except TypeError as error:
        raise RowError(f"{place}: {spec.name}: {error}") from None
