"""The modules that stand in for ours."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class StandIn:
    """A module of upstream that replaces ours.

    It has the same channels and stride.

    Args:
        row_args: gives the arguments of its row, from those of ours by name.
        decided: gives the first arguments of our constructor, from the built stand-in: (c1, c2), or (channels, nc) of
            a head.
        activation: gives the activation of the built stand-in; None for a head.
        is_head: whether it ends the model.
        takes_levels: whether it takes a list of rows, one per level.
    """

    row_args: Callable[[Mapping[str, Any]], list[Any]]
    decided: Callable[[Any], tuple[Any, int]]
    activation: Callable[[Any], nn.Module | None]
    is_head: bool = False
    takes_levels: bool = False


STAND_INS = {
    "Conv": StandIn(
        row_args=lambda ours: [ours["c2"], 1, ours.get("stride", 1)],  # a 1x1
        decided=lambda built: (built.conv.in_channels, built.conv.out_channels),
        activation=lambda built: built.act,
    ),
    "Bottleneck": StandIn(
        row_args=lambda ours: [ours["c2"]],
        decided=lambda built: (built.cv1.conv.in_channels, built.cv2.conv.out_channels),
        activation=lambda built: built.cv1.act,
    ),
    "Detect": StandIn(
        row_args=lambda ours: [ours["nc"]],
        decided=lambda built: ([branch[0].conv.in_channels for branch in built.cv2], built.nc),
        activation=lambda _: None,
        is_head=True,
        takes_levels=True,
    ),
    "Classify": StandIn(
        row_args=lambda ours: [ours["nc"]],
        decided=lambda built: (built.conv.conv.in_channels, built.linear.out_features),
        activation=lambda _: None,
        is_head=True,
    ),
}
