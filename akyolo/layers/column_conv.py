"""The convolution that mixes what the taps saw."""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from akyolo.registry import loadable


def mix(taps: Tensor, weight: Tensor, bias: Tensor | None = None, groups: int = 1) -> Tensor:
    """The column convolution, (N, 1) over taps stacked along rows, as its equal: a 1x1 over all N*C values.

    Args:
        taps: (B, C, N, h, w).
        weight: (O, C/groups, N, 1).
        bias: (O,) or None.
        groups: of channels, as a convolution has them.

    Returns:
        (B, O, h, w).
    """
    # in whichever order the values lie side by side in memory, so that nothing is copied
    values = "n c" if taps.stride(1) == 1 else "c n"
    stacked = rearrange(taps, f"b (g c) n h w -> b (g {values}) h w", g=groups)
    return F.conv2d(stacked, rearrange(weight, f"o c n 1 -> o ({values}) 1 1"), bias, groups=groups)


@loadable
class ColumnConv(nn.Conv2d):
    """`mix` with its weight, (c2, c1, N, 1): profilers and `fuse()` know it as the convolution it is.

    It takes taps with the channels third from the last, where profilers look for them.
    """

    def __init__(self, c1: int, c2: int, num_param: int, bias: bool = False) -> None:
        super().__init__(c1, c2, (num_param, 1), (num_param, 1), bias=bias)

    def forward(self, taps: Tensor) -> Tensor:
        """(B, N, c1, h, w) to (B, c2, h, w)."""
        return mix(rearrange(taps, "b n c h w -> b c n h w"), self.weight, self.bias)
