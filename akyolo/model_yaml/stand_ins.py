"""What upstream builds in the place of our modules, and what is read from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class StandIn:
    """One module of upstream's, by whose channel law a row of ours is built.

    Args:
        row: the arguments of its row, from those of ours by name.
        decided: from the built stand-in, what our constructor takes first: (c1, c2), or (channels, nc) of a head.
        activation: from the built stand-in; None for a head.
        is_head: whether it ends the model.
        sees_levels: whether it looks at a list of rows.
    """

    row: Callable[[Mapping[str, Any]], list[Any]]
    decided: Callable[[Any], tuple[Any, int]]
    activation: Callable[[Any], nn.Module | None]
    is_head: bool = False
    sees_levels: bool = False


STAND_INS = {
    "Conv": StandIn(
        row=lambda ours: [ours["c2"], 1, ours.get("stride", 1)],  # a 1x1
        decided=lambda built: (built.conv.in_channels, built.conv.out_channels),
        activation=lambda built: built.act,
    ),
    "Bottleneck": StandIn(
        row=lambda ours: [ours["c2"]],
        decided=lambda built: (built.cv1.conv.in_channels, built.cv2.conv.out_channels),
        activation=lambda built: built.cv1.act,
    ),
    "Detect": StandIn(
        row=lambda ours: [ours["nc"]],
        decided=lambda built: ([branch[0].conv.in_channels for branch in built.cv2], built.nc),
        activation=lambda _: None,
        is_head=True,
        sees_levels=True,
    ),
    "Classify": StandIn(
        row=lambda ours: [ours["nc"]],
        decided=lambda built: (built.conv.conv.in_channels, built.linear.out_features),
        activation=lambda _: None,
        is_head=True,
    ),
}
