"""The layer with the mixing weights of operators."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from akyolo.registry import checkpoint_class


@checkpoint_class
class ColumnConv(nn.Conv2d):
    """Hold the weights (c2, c1, N, 1) that mix N taps.

    It is a convolution, so that `fuse()` can fold a BN into it.

    Args:
        c1: input channels.
        c2: output channels.
        num_param: number of taps N.
        bias: whether the convolution has a bias.

    Example:
        >>> import torch
        >>> from akyolo.layers import ColumnConv
        >>> from akyolo.sampling import mix
        >>> ColumnConv(3, 8, 5)(torch.ones(1, 3, 5, 7, 6), mix).shape
        torch.Size([1, 8, 7, 6])
    """

    def __init__(self, c1: int, c2: int, num_param: int, bias: bool = False) -> None:
        """Build the layer."""
        super().__init__(c1, c2, (num_param, 1), (num_param, 1), bias=bias)

    def forward(self, x: Tensor, operator: Callable[..., Tensor], *inputs: Any, **arguments: Any) -> Tensor:  # type: ignore[override]
        """Return `operator(x, *inputs, weight, bias, **arguments)`.

        Args:
            x: what the operator takes first.
            operator: returns (B, c2, h, w).
            inputs: further tensors for the operator.
            arguments: further arguments of the operator.
        """
        return operator(x, *inputs, self.weight, self.bias, **arguments)
