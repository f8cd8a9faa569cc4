"""The layer with the weights that mix what the taps saw."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from akyolo.registry import checkpoint_class


@checkpoint_class
class ColumnConv(nn.Conv2d):
    """Hold the weights that mix N taps, (c2, c1, N, 1), as the convolution that profilers and `fuse()` know.

    Args:
        c1: input channels.
        c2: output channels.
        num_param: number of taps N.
        bias: whether the convolution has a bias.
    """

    def __init__(self, c1: int, c2: int, num_param: int, bias: bool = False) -> None:
        super().__init__(c1, c2, (num_param, 1), (num_param, 1), bias=bias)

    def forward(self, x: Tensor, operator: Callable[..., Tensor], *inputs: Any, **arguments: Any) -> Tensor:  # type: ignore[override]
        """Return `operator(x, *inputs, weight, bias, **arguments)`, (B, c2, h, w).

        Profilers take the channels from the third-last dimension of x.
        """
        return operator(x, *inputs, self.weight, self.bias, **arguments)
