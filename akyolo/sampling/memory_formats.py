"""Memory formats: what `sample` reads fastest, and the way back.

Values and gradients change format together: a normalisation whose gradient lies in another format than its input is
several times slower.
"""

from typing import Any

import torch
from torch import Tensor


class _Converted(torch.autograd.Function):
    """A map in another memory format; its gradient in the first one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, to: torch.memory_format) -> Tensor:
        ctx.back = memory_format(x)
        return _dense(x, to)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _dense(grad, ctx.back), None


def memory_format(x: Tensor) -> torch.memory_format:
    """`channels_last` where x (B, C, H, W) is that and nothing else, `contiguous_format` otherwise."""
    channels_last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format


def converted(x: Tensor, to: torch.memory_format) -> Tensor:
    """The same map (B, C, H, W) in memory format `to`; its gradient comes back in that of x."""
    if _is(x, to):
        return x
    return _Converted.apply(x, to) if torch.is_grad_enabled() and x.requires_grad else _dense(x, to)


def _dense(x: Tensor, to: torch.memory_format) -> Tensor:
    y = x.contiguous(memory_format=to)
    return y if _is(y, to) else y.clone(memory_format=to)


def _is(x: Tensor, to: torch.memory_format) -> bool:
    """In that format, the batch too: a batch of 1 may have any stride, by which BatchNorm's backward goes wrong."""
    return x.is_contiguous(memory_format=to) and x.stride(0) == x.shape[1] * x.shape[2] * x.shape[3]
