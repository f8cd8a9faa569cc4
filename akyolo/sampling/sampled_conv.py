"""The convolution that mixes what the taps saw."""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


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
