"""The convolution that mixes what the taps saw."""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from akyolo.sampling.bilinear import sample
from akyolo.sampling.memory_formats import converted, memory_format


def sampled_conv(
    x: Tensor,
    positions: Tensor,
    weight: Tensor,
    mask: Tensor | None = None,
    groups: int = 1,
    padding_mode: str = "zeros",
    bias: Tensor | None = None,
) -> Tensor:
    """Convolve `x` with taps that stand at any positions.

    Args:
        x: (B, C, H, W), floating point.
        positions: (B, N, h, w, 2), row y then column x, in pixels of x; pixel centres at integers.
        weight: (O, C/groups, N, 1).
        mask: (B, N, h, w), factors of what the taps see; None for 1.
        groups: of channels, as in a convolution.
        padding_mode: `zeros`, `border` or `official`, see `sample`.
        bias: (O,) or None.

    Returns:
        (B, O, h, w) in the dtype and memory format of x.

    Raises:
        RowError: unknown padding_mode.

    Example:
        >>> import torch
        >>> from akyolo import sampled_conv
        >>> x = torch.arange(12.0).reshape(1, 1, 3, 4)
        >>> positions = torch.tensor([[0.0, 0.5], [1.0, 0.0]]).reshape(1, 2, 1, 1, 2)  # between two pixels, and on one
        >>> sampled_conv(x, positions, torch.ones(1, 1, 2, 1)).item()
        4.5
    """
    taps = sample(x, positions, padding_mode)
    if mask is not None:
        taps = taps * mask.to(taps.dtype).unsqueeze(1)
    return converted(mix(taps, weight, bias, groups), memory_format(x))


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
