"""Convolve with another kernel at every position.

The output is the sum over taps of the weight times the value at the tap.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from torch.autograd.function import once_differentiable

from akyolo.sampling.bilinear import captures_a_graph

Windows = Sequence[tuple[Any, ...]]  # of each tap the index that selects its values, (..., h, w)


def regular_taps(x: Tensor, k: int, stride: int, dilation: int, h: int, w: int) -> tuple[Tensor, Windows]:
    """Pad a feature map and return each tap's window.

    Args:
        x: (B, C, H, W).
        k: side of the kernel, odd.
        stride: pixels of x between neighbouring outputs.
        dilation: pixels of x between neighbouring taps.
        h: height of the output.
        w: width of the output.

    Returns:
        The map with zeros around it, and k*k windows of it, each (B, C, h, w), row by row.

    Example:
        >>> import torch
        >>> from akyolo.layers import regular_taps
        >>> padded, windows = regular_taps(torch.ones(1, 2, 4, 6), 3, stride=2, dilation=1, h=2, w=3)
        >>> padded.shape, len(windows), padded[windows[0]].shape
        (torch.Size([1, 2, 6, 8]), 9, torch.Size([1, 2, 2, 3]))
    """
    before = dilation * (k // 2)
    rows, columns = (
        [slice(dilation * u, dilation * u + stride * (length - 1) + 1, stride) for u in range(k)] for length in (h, w)
    )
    padded = F.pad(x, (before, before, before, before)) if before else x
    return padded, [(..., row, column) for row in rows for column in columns]


def sum_over_taps(x: Tensor, kernels: Tensor, windows: Windows, groups: int) -> Tensor:
    """Return the sum over taps of kernel times input.

    Args:
        x: (B, C, ...), in which each x[windows[n]] is (B, C, h, w).
        kernels: (B, O, C/groups, N, h, w).
        windows: N indices.
        groups: number of groups of channels, as in a convolution.

    Returns:
        (B, O, h, w) in the dtype of x, summed in at least float32. Only x and the kernels are saved for the backward
        pass.

    Example:
        >>> import torch
        >>> from akyolo.layers import regular_taps, sum_over_taps
        >>> padded, windows = regular_taps(torch.ones(1, 2, 4, 6), 3, 1, 1, 4, 6)
        >>> sum_over_taps(padded, torch.ones(1, 2, 1, 9, 4, 6), windows, groups=2)[0, :, 1, 1]
        tensor([9., 9.])
    """
    inputs = rearrange(x, "b (g i) ... -> b g i ...", g=groups)
    weights = rearrange(kernels.to(x.dtype), "b (g o) ... -> b g o ...", g=groups)
    if captures_a_graph():
        taps = torch.stack([inputs[window] for window in windows], dim=3)
        mixed = (taps.unsqueeze(2) * weights).sum((3, 4))
    else:
        mixed = _SumOverTaps.apply(inputs, weights, windows)
    return rearrange(mixed, "b g o h w -> b (g o) h w")


class _SumOverTaps(torch.autograd.Function):
    """Sum inputs times weights over taps and channels.

    Inputs (B, G, I, ...) and weights (B, G, O, I, N, h, w) give (B, G, O, h, w).

    Neither taps nor products are saved.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weights: Tensor, windows: Windows) -> Tensor:
        """Sum tap by tap, in at least float32."""
        ctx.save_for_backward(inputs, weights)
        ctx.windows = windows
        total = torch.zeros_like(weights[:, :, :, 0, 0], dtype=torch.promote_types(inputs.dtype, torch.float32))
        for i in range(inputs.shape[2]):
            for n, window in enumerate(windows):
                total.addcmul_(inputs[:, :, None, i][window], weights[:, :, :, i, n])
        return total.to(inputs.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Return the gradients of inputs and weights."""
        inputs, weights = ctx.saved_tensors
        grad_inputs = grad_weights = None
        if ctx.needs_input_grad[0]:
            grad_inputs = torch.zeros_like(inputs, dtype=torch.promote_types(inputs.dtype, torch.float32))
        if ctx.needs_input_grad[1]:
            grad_weights = torch.empty_like(weights)
        for i in range(inputs.shape[2]):
            for n, window in enumerate(ctx.windows):
                if grad_inputs is not None:
                    _add_products(grad_inputs[:, :, i][window], grad, weights[:, :, :, i, n])
                if grad_weights is not None:
                    torch.mul(grad, inputs[:, :, None, i][window], out=grad_weights[:, :, :, i, n])
        return None if grad_inputs is None else grad_inputs.to(inputs.dtype), grad_weights, None


def _add_products(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Add a*b, summed over O, to the total in place.

    a and b are (B, G, O, h, w), the total is (B, G, h, w).
    """
    if a.shape[2] == 1:
        total.addcmul_(a[:, :, 0], b[:, :, 0])
    else:
        total.add_((a * b).sum(2))
