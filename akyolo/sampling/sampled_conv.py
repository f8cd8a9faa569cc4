"""Convolve with taps at any positions."""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from akyolo.sampling.bilinear import captures_a_graph, sample
from akyolo.sampling.memory_formats import keeps_memory_format


@keeps_memory_format()
def sampled_conv(
    x: Tensor,
    positions: Tensor,
    weight: Tensor,
    mask: Tensor | None = None,
    groups: int = 1,
    padding_mode: str = "zeros",
    bias: Tensor | None = None,
) -> Tensor:
    """Convolve `x` with taps at any positions.

    Args:
        x: (B, C, H, W), floating point.
        positions: (B, N, h, w, 2), row y then column x, in pixels of x; pixel centres at integers.
        weight: (O, C/groups, N, 1).
        mask: (B, N, h, w), factors of the samples; None for 1.
        groups: number of groups of channels, as in a convolution.
        padding_mode: `zeros`, `border` or `official`, see `sample`.
        bias: (O,) or None.

    Returns:
        (B, O, h, w) in the dtype and memory format of x.

    Raises:
        RowError: an unknown padding_mode.
        ValueError: tensors whose sizes do not fit each other.

    Example:
        >>> import torch
        >>> from akyolo import sampled_conv
        >>> x = torch.arange(12.0).reshape(1, 1, 3, 4)
        >>> positions = torch.tensor([[0.0, 0.5], [1.0, 0.0]]).reshape(1, 2, 1, 1, 2)  # between two pixels, and on one
        >>> sampled_conv(x, positions, torch.ones(1, 1, 2, 1)).item()
        4.5
    """
    samples = sample(x, positions, padding_mode)
    if not captures_a_graph():  # sizes are variables of a graph
        _check_sizes(samples, weight, mask, groups)
    if mask is not None:
        samples = samples * mask.to(samples.dtype).unsqueeze(1)
    return mix(samples, weight, bias, groups)


def _check_sizes(samples: Tensor, weight: Tensor, mask: Tensor | None, groups: int) -> None:
    """Refuse a mask that would be broadcast, and weights of another size."""
    b, c, n, h, w = samples.shape
    if weight.dim() != 4 or (weight.shape[1] * groups, *weight.shape[2:]) != (c, n, 1):
        raise ValueError(f"weight must be (O, {c}/{groups}, {n}, 1), not {tuple(weight.shape)}")
    if mask is not None and mask.shape != (b, n, h, w):
        raise ValueError(f"mask must be {(b, n, h, w)}, not {tuple(mask.shape)}")


def mix(samples: Tensor, weight: Tensor, bias: Tensor | None = None, groups: int = 1) -> Tensor:
    """Sum weighted samples over taps and channels.

    It equals an (N, 1) convolution of the taps stacked along rows, computed as a 1x1 convolution of N*C channels.

    Args:
        samples: (B, C, N, h, w).
        weight: (O, C/groups, N, 1).
        bias: (O,) or None.
        groups: number of groups of channels, as in a convolution.

    Returns:
        (B, O, h, w).

    Example:
        >>> import torch
        >>> from akyolo.sampling import mix
        >>> mix(torch.ones(1, 3, 5, 8, 10), torch.ones(4, 3, 5, 1))[0, :, 0, 0]
        tensor([15., 15., 15., 15.])
    """
    # the order in which the values lie in memory, so that nothing is copied
    values = "n c" if samples.stride(1) == 1 else "c n"
    stacked = rearrange(samples, f"b (g c) n h w -> b (g {values}) h w", g=groups)
    return F.conv2d(stacked, rearrange(weight, f"o c n 1 -> o ({values}) 1 1"), bias, groups=groups)
