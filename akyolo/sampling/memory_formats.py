"""Convert feature maps between memory formats.

Operators compute in the memory format that is fastest for them and return that of their input. Values and gradients
are converted together: the backward pass of a normalisation is several times slower when the gradient has another
memory format than the input.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

Function = TypeVar("Function", bound=Callable[..., Tensor])


def keeps_memory_format(inside: torch.memory_format | None = None) -> Callable[[Function], Function]:
    """Make a function return its input's memory format.

    Args:
        inside: the memory format in which the function gets its first argument; None for the one it has.

    Returns:
        A decorator of functions from a feature map x (B, C, H, W), and other arguments, to a feature map.

    Example:
        >>> import torch
        >>> from akyolo.sampling import keeps_memory_format
        >>> @keeps_memory_format(inside=torch.channels_last)
        ... def double(x):
        ...     assert x.is_contiguous(memory_format=torch.channels_last)
        ...     return 2 * x
        >>> double(torch.ones(1, 2, 3, 4)).is_contiguous()
        True
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(x: Tensor, *args: Any, **keywords: Any) -> Tensor:
            return call_in_format(function, x, *args, inside=inside, **keywords)

        return cast("Function", call)

    return decorate


def call_in_format(
    function: Callable[..., Tensor],
    x: Tensor,
    *args: Any,
    inside: torch.memory_format | None = None,
    **keywords: Any,
) -> Tensor:
    """Return `function(x, ...)` in the memory format of x.

    Args:
        function: takes and returns a feature map (B, C, H, W).
        x: (B, C, H, W).
        args: further arguments of the function.
        inside: the memory format in which the function gets x; None for the one it has.
        keywords: further arguments of the function.
    """
    y = function(x if inside is None else _convert(x, inside), *args, **keywords)
    return _convert(y, _memory_format(x))


class _Convert(torch.autograd.Function):
    """Convert a feature map, and its gradient back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, to: torch.memory_format) -> Tensor:
        """Return x in the memory format `to`."""
        ctx.back = _memory_format(x)
        return _copy(x, to)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Return the gradient in the memory format of x."""
        return _copy(grad, ctx.back), None


def _memory_format(x: Tensor) -> torch.memory_format:
    """Return the memory format of x (B, C, H, W).

    It is `channels_last` only if x does not have `contiguous_format` too.
    """
    channels_last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format


def _convert(x: Tensor, to: torch.memory_format) -> Tensor:
    """Return x (B, C, H, W) in memory format `to`.

    Its gradient keeps the format of x.
    """
    if _has_format(x, to):
        return x
    return _Convert.apply(x, to) if torch.is_grad_enabled() and x.requires_grad else _copy(x, to)


def _copy(x: Tensor, to: torch.memory_format) -> Tensor:
    y = x.contiguous(memory_format=to)
    return y if _has_format(y, to) else y.clone(memory_format=to)


def _has_format(x: Tensor, to: torch.memory_format) -> bool:
    """Return whether x has this memory format.

    The batch must have its regular stride too.

    PyTorch allows any stride of a batch of 1. Some of them make the backward pass of BatchNorm wrong.
    """
    return x.is_contiguous(memory_format=to) and x.stride(0) == x.shape[1] * x.shape[2] * x.shape[3]
