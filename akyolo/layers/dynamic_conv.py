"""Convolutions whose kernels differ from position to position: the sum over taps of weight times what the tap saw."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from torch.autograd.function import once_differentiable

from akyolo.sampling.bilinear import captures_a_graph

Where = Sequence[tuple[Any, ...]]


def regular_taps(x: Tensor, k: int, stride: int, dilation: int, h: int, w: int) -> tuple[Tensor, Where]:
    """The map with zeros around, and where in it each tap of a k x k kernel, k odd, sees its (h, w) pixels."""
    before = dilation * (k // 2)
    rows, columns = (
        [slice(dilation * u, dilation * u + stride * (length - 1) + 1, stride) for u in range(k)] for length in (h, w)
    )
    padded = F.pad(x, (before, before, before, before)) if before else x
    return padded, [(..., row, column) for row in rows for column in columns]


def sum_over_taps(seen: Tensor, kernels: Tensor, where: Where, groups: int) -> Tensor:
    """seen (B, C, ...), in which seen[where[n]] is (B, C, h, w), times kernels (B, O, I, N, h, w): (B, O, h, w)."""
    inputs = rearrange(seen, "b (g i) ... -> b g i ...", g=groups)
    weights = rearrange(kernels.to(seen.dtype), "b (g o) ... -> b g o ...", g=groups)
    if captures_a_graph():
        taps = torch.stack([inputs[at] for at in where], dim=3)
        mixed = (taps.unsqueeze(2) * weights).sum((3, 4))
    else:
        mixed = _SumOverTaps.apply(inputs, weights, where)
    return rearrange(mixed, "b g o h w -> b (g o) h w")


class _SumOverTaps(torch.autograd.Function):
    """Inputs (B, G, I, ...) and weights (B, G, O, I, N, h, w) to (B, G, O, h, w): no product is kept, nor any tap."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weights: Tensor, where: Where) -> Tensor:
        """Tap by tap, added up in at least float32."""
        ctx.save_for_backward(inputs, weights)
        ctx.where = where
        total = torch.zeros_like(weights[:, :, :, 0, 0], dtype=torch.promote_types(inputs.dtype, torch.float32))
        for i in range(inputs.shape[2]):
            for n, at in enumerate(where):
                total.addcmul_(inputs[:, :, None, i][at], weights[:, :, :, i, n])
        return total.to(inputs.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """The same sum for the inputs, the single products for the weights."""
        inputs, weights = ctx.saved_tensors
        grad_inputs = grad_weights = None
        if ctx.needs_input_grad[0]:
            grad_inputs = torch.zeros_like(inputs, dtype=torch.promote_types(inputs.dtype, torch.float32))
        if ctx.needs_input_grad[1]:
            grad_weights = torch.empty_like(weights)
        for i in range(inputs.shape[2]):
            for n, at in enumerate(ctx.where):
                if grad_inputs is not None:
                    _add_products(grad_inputs[:, :, i][at], grad, weights[:, :, :, i, n])
                if grad_weights is not None:
                    torch.mul(grad, inputs[:, :, None, i][at], out=grad_weights[:, :, :, i, n])
        return None if grad_inputs is None else grad_inputs.to(inputs.dtype), grad_weights, None


def _add_products(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Add a*b, (B, G, O, h, w), summed over O to the total (B, G, h, w), in place."""
    if a.shape[2] == 1:
        total.addcmul_(a[:, :, 0], b[:, :, 0])
    else:
        total.add_((a * b).sum(2))
