"""The layer with the weights of a deformable kernel."""

from collections.abc import Callable
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from akyolo.registry import checkpoint_class


@checkpoint_class
class ScopeConv(nn.Conv2d):
    """The weights from which k x k kernels are sampled, (c2, c1/groups, S, S): `fuse()` knows it as a convolution.

    They start as those of a k x k convolution. Of a call profilers count a convolution by all of the scope.
    """

    def __init__(self, c1: int, c2: int, kernel_size: int, stride: int, scope: int, dilation: int, groups: int) -> None:
        self.taps_per_side = kernel_size  # known before the weights are drawn
        super().__init__(c1, c2, scope, stride, dilation=dilation, groups=groups, bias=False)

    def reset_parameters(self) -> None:
        """The magnitude for k*k products an output, not for all of the scope."""
        super().reset_parameters()
        with torch.no_grad():
            self.weight.mul_(self.kernel_size[0] / self.taps_per_side)

    def forward(  # type: ignore[override]  # a map alone is not enough
        self, x: Tensor, deformed: Callable[..., Tensor], *moves: Tensor, **how: Any
    ) -> Tensor:
        """(B, c1, H, W) to (B, c2, h, w) by `deformed(x, *moves, weight, stride, dilation, groups, **how)`."""
        return self.convolved(x, deformed, *moves, **how)

    def convolved(self, x: Tensor, deformed: Callable[..., Tensor], *moves: Tensor, **how: Any) -> Tensor:
        """The same, past the profilers: for products that they count by themselves."""
        y = deformed(x, *moves, self.weight, self.stride[0], self.dilation[0], self.groups, **how)
        return y if self.bias is None else y + rearrange(self.bias, "o -> o 1 1")
