"""The scope of a deformable kernel, and kernels sampled from it."""

import math
from collections.abc import Callable
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from akyolo.checks import check_divides, check_whole
from akyolo.errors import RowError
from akyolo.registry import checkpoint_class
from akyolo.sampling import regular_grid, sample


@checkpoint_class
class ScopeConv(nn.Conv2d):
    """Hold the weights from which kernels are sampled.

    These weights, (c2, c1/groups, S, S), are the scope.

    It is a convolution, so that `fuse()` can fold a BN into it. The weights are initialised as those of a k x k
    convolution.

    Args:
        c1: input channels.
        c2: output channels.
        kernel_size: side k of the sampled kernels, odd.
        stride: pixels of the input between neighbouring outputs.
        scope: side S of the scope, at least k.
        dilation: pixels of the input between neighbouring taps.
        groups: number of groups of channels, as in a convolution; gcd(c1, c2) by default, as in upstream's DWConv.

    Raises:
        RowError: an argument is out of range.
    """

    def __init__(
        self,
        c1: int,
        c2: int,
        kernel_size: int,
        stride: int = 1,
        scope: int = 4,
        dilation: int = 1,
        groups: int | None = None,
    ) -> None:
        """Check the arguments and build the layer."""
        groups = math.gcd(c1, c2) if groups is None else groups
        check_whole(kernel_size=kernel_size, stride=stride, scope=scope, dilation=dilation, groups=groups)
        if kernel_size % 2 == 0:
            raise RowError(f"kernel_size={kernel_size} must be odd")
        if scope < kernel_size:
            raise RowError(f"scope={scope} must be at least kernel_size={kernel_size}")
        check_divides(c1, c2, groups=groups)
        self.taps_per_side = kernel_size  # `reset_parameters`, which the next line calls, reads it
        super().__init__(c1, c2, scope, stride, dilation=dilation, groups=groups, bias=False)

    def reset_parameters(self) -> None:
        """Initialise the weights for k*k products per output."""
        super().reset_parameters()
        with torch.no_grad():
            self.weight.mul_(self.kernel_size[0] / self.taps_per_side)

    def forward(  # type: ignore[override]
        self, x: Tensor, operator: Callable[..., Tensor], *moves: Tensor, **arguments: Any
    ) -> Tensor:
        """Convolve x with kernels sampled from the scope.

        Args:
            x: (B, c1, H, W), floating point.
            operator: the function that samples the kernels and convolves x with them.
            moves: offsets in pixels of x, and rotations in steps of the scope, as the function takes them.
            arguments: further arguments of the function.

        Returns:
            (B, c2, h, w).
        """
        y = operator(x, *moves, self.weight, self.stride[0], self.dilation[0], self.groups, **arguments)
        return y if self.bias is None else y + rearrange(self.bias, "o -> o 1 1")


def sampled_kernels(rotation: Tensor, weight: Tensor, rotation_groups: int = 1, clip: bool = True) -> Tensor:
    """Sample kernels from the scope.

    The positions are (u, v) + (S - k)/2 + rotation.

    Args:
        rotation: (B, 2*rotation_groups*N, h, w) with N = k*k, the channels in the order group, tap, (y, x), in steps of
            the scope. Output channel o uses group o % rotation_groups.
        weight: the scope, (O, I, S, S).
        rotation_groups: number of sets of rotations, a divisor of O.
        clip: whether to clamp positions to [0, S-1]; the gradient at both limits is still that of the scope. Otherwise
            there are zeros outside of the scope.

    Returns:
        (B, O, I, N, h, w) in the dtype of weight. Positions are computed in at least float32; a position that is not
        finite gives NaN.

    Example:
        >>> import torch
        >>> from akyolo.layers import sampled_kernels
        >>> scope = torch.arange(16.0).reshape(1, 1, 4, 4)
        >>> sampled_kernels(torch.zeros(1, 2, 1, 1), scope).item()  # a 1x1 in the middle of the scope
        7.5

    Source: arXiv 1910.02940, section 3.1, with the grid of the released code.
    """
    dtype = torch.promote_types(rotation.dtype, torch.float32)
    scope, h = weight.shape[-1], rotation.shape[2]
    k = math.isqrt(rotation.shape[1] // (2 * rotation_groups))
    start = torch.tensor(regular_grid(k, padding=0), dtype=dtype, device=rotation.device) + (scope - k) / 2
    # the order in which `sample` reads positions, as in `kernel_positions`
    yx = rearrange(rotation.to(dtype), "b (g n yx) h w -> yx g (b h) w n", g=rotation_groups, yx=2)
    yx = yx + rearrange(start, "n yx -> yx 1 1 1 n")
    if clip:  # not by `clamp`, whose gradient at the limits differs between versions of PyTorch
        values = yx.detach()
        yx = torch.where((values >= 0) & (values <= scope - 1), yx, (values + values * 0).clamp(0, scope - 1))
    scopes = rearrange(weight, "(o g) i u v -> g (o i) u v", g=rotation_groups)
    samples = sample(scopes, rearrange(yx, "yx g bh w n -> g n bh w yx"))
    # the channels are neighbours in memory
    samples = rearrange(samples, "g (o i) n (b h) w -> b h w n (o g) i", i=weight.shape[1], h=h)
    return rearrange(samples, "b h w n o i -> b o i n h w")
