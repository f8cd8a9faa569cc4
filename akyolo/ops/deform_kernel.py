"""Deformable kernels: a sampled kernel for each output position.

Paper: H. Gao et al., "Deformable Kernels: Adapting Effective Receptive Fields for Object Deformation", ICLR 2020,
arXiv 1910.02940.

    y[b, o, i, j] = sum over n, c of W[o, c](q[n]) x[b, c](p[n]),
    p[n] = (i*s, j*s) + d*((u, v) - (k - 1)/2) + offset[n](x),    q[n] = (u, v) + (S - k)/2 + rotation[n](x)

with the tap n = (u, v) of a k x k kernel, k odd, W(q) bilinear between the S x S weights of the scope, and an offset in
`DeformKernelConv` only. There is one set of rotations (the release's word for offsets in the kernel) for each output
position. The paper calls this local; `GlobalDeformKernel` is the global form.

Deviations of the released code: its DC+DK never learns a rotation (it passes none); here it does, as in the paper. It
multiplies the offsets by the dilation; here they are pixels. Its local kernels are depthwise only. Both deviate from
the paper in the same way: the taps start next to each other in the middle of the scope, over which the paper spreads
them evenly. As in the release, the gradient at a weight of the scope is the right-hand derivative, at the last weight
the left-hand one.
"""

import math
from collections.abc import Iterator
from typing import ClassVar

from einops import rearrange
from torch import Tensor, nn

from akyolo.checks import check_divides, check_flag, check_whole
from akyolo.layers import OperatorConv, ScopeConv, ZeroConv, regular_taps, sampled_kernels, sum_over_taps
from akyolo.registry import register
from akyolo.sampling import keeps_memory_format, kernel_positions, regular_grid, sample


@keeps_memory_format()
def deform_kernel(
    x: Tensor,
    rotation: Tensor,
    weight: Tensor,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    rotation_groups: int = 1,
    clip: bool = True,
) -> Tensor:
    """Convolve with another kernel at every output position.

    Args:
        x: (B, C, H, W), floating point.
        rotation: (B, 2*rotation_groups*k*k, h, w), the channels in the order group, tap, (y, x), in steps of the scope.
            Output channel o uses group o % rotation_groups.
        weight: the scope, (O, C/groups, S, S).
        stride: pixels of x between neighbouring outputs.
        dilation: pixels of x between neighbouring taps.
        groups: number of groups of channels, as in a convolution.
        rotation_groups: number of sets of rotations, a divisor of O.
        clip: whether to keep the taps inside the scope; otherwise there are zeros outside.

    Returns:
        (B, O, h, w) in the memory format of x.

    Example:
        >>> import torch
        >>> from akyolo import deform_kernel
        >>> x, scope = torch.ones(1, 2, 6, 8), torch.ones(2, 1, 4, 4)  # depthwise
        >>> deform_kernel(x, torch.zeros(1, 18, 6, 8), scope, groups=2)[0, :, 3, 3]
        tensor([9., 9.])

    Source: arXiv 1910.02940, section 3.2, local.
    """
    kernels = sampled_kernels(rotation, weight, rotation_groups, clip)
    k, (h, w) = math.isqrt(kernels.shape[3]), rotation.shape[-2:]
    padded, windows = regular_taps(x, k, stride, dilation, h, w)
    return sum_over_taps(padded, kernels, windows, groups)


@keeps_memory_format()
def deform_kernel_conv(
    x: Tensor,
    offset: Tensor,
    rotation: Tensor,
    weight: Tensor,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    rotation_groups: int = 1,
    clip: bool = True,
) -> Tensor:
    """Convolve as `deform_kernel`, with offsets too.

    Args:
        x: (B, C, H, W), floating point; zeros outside.
        offset: (B, 2*G*k*k, h, w), in pixels of x, for G equal parts of the input channels; its own channels in the
            order part, tap, (y, x).
        rotation: as in `deform_kernel`, like all further arguments.
        weight: the scope, (O, C/groups, S, S).
        stride: pixels of x between neighbouring outputs.
        dilation: pixels of x between neighbouring taps.
        groups: number of groups of channels, as in a convolution.
        rotation_groups: number of sets of rotations, a divisor of O.
        clip: whether to keep the taps inside the scope; otherwise there are zeros outside.

    Returns:
        (B, O, h, w) in the memory format of x.

    Example:
        >>> import torch
        >>> from akyolo import deform_kernel_conv
        >>> x, scope, zeros = torch.ones(1, 2, 6, 8), torch.ones(2, 1, 4, 4), torch.zeros(1, 18, 6, 8)
        >>> deform_kernel_conv(x, zeros, zeros, scope, groups=2)[0, :, 3, 3]
        tensor([9., 9.])

    Source: arXiv 1910.02940, section 3.2, DC+DK.
    """
    kernels = sampled_kernels(rotation, weight, rotation_groups, clip)
    k = math.isqrt(kernels.shape[3])
    parts = int(offset.shape[1] // (2 * k * k))
    rows_then_columns = rearrange(offset, "b (g n yx) h w -> (b g) (yx n) h w", g=parts, yx=2)
    positions = kernel_positions(rows_then_columns, regular_grid(k, dilation), stride)
    samples = sample(rearrange(x, "b (g c) h w -> (b g) c h w", g=parts), positions)
    samples = rearrange(samples, "(b g) c n h w -> b (g c) n h w", g=parts)
    windows = [(..., n, slice(None), slice(None)) for n in range(k * k)]
    return sum_over_taps(samples, kernels, windows, groups)


@register()
class DeformKernel(OperatorConv):
    """A convolution that samples a kernel for each position.

    A dense convolution of the input computes the rotations; there are no offsets. The paper trains that convolution at
    1e-2 (ResNet-50-DW) or 1e-1 (MobileNet-V2) times the learning rate: `offset_lr`. Profilers count the scope as a
    convolution of S x S.

    Parameters: c1*c2//(groups or gcd(c1, c2))*scope**2 + 2*(c2 + rotation_groups*kernel_size**2*(c1*kernel_size**2+1)):
        scope, BN, rotation convolution.

    Args:
        c1: input channels.
        c2: output channels.
        kernel_size: side k of the sampled kernels, odd.
        stride: pixels of the input between neighbouring outputs; output height is ceil(H/stride).
        scope: side S of the scope, from which the kernels are sampled, at least k.
        dilation: pixels of the input between neighbouring taps, also of the rotation convolution.
        groups: number of groups of channels, as in a convolution; gcd(c1, c2) by default, which is depthwise for equal
            channels.
        rotation_groups: number of sets of rotations; output channel o uses set o % rotation_groups.
        clip: whether to keep the taps inside the scope; otherwise there are zeros outside.
        act: as in Ultralytics' Conv: true for the model's activation, false for none, or a module.

    Raises:
        RowError: an argument is out of range.

    Example:
        >>> import torch
        >>> from akyolo import DeformKernel
        >>> DeformKernel(4, 4, 3, 2, scope=5)(torch.rand(2, 4, 32, 40)).shape
        torch.Size([2, 4, 16, 20])
    """

    conv: ScopeConv
    samples_input = True
    has_offsets: ClassVar[bool] = False

    def __init__(  # noqa: PLR0913, PLR0917  the arguments of a row
        self,
        c1: int,
        c2: int,
        kernel_size: int,
        stride: int = 1,
        scope: int = 4,
        dilation: int = 1,
        groups: int | None = None,
        rotation_groups: int = 1,
        clip: bool = True,
        act: bool | nn.Module = True,
    ) -> None:
        """Check the arguments and build the layers."""
        check_whole(rotation_groups=rotation_groups)
        check_flag(clip=clip)
        check_divides(c2, rotation_groups=rotation_groups)
        super().__init__(c1, c2, ScopeConv(c1, c2, kernel_size, stride, scope, dilation, groups), act)
        self.rotation_groups, self.clip = rotation_groups, clip
        points = 2 * kernel_size**2
        self.rotation_conv = ZeroConv(c1, rotation_groups * points, stride, kernel_size, dilation)
        self.offset_conv = ZeroConv(c1, points, stride, kernel_size, dilation) if self.has_offsets else None

    def raw(self, x: Tensor) -> Tensor:
        """Apply the operator alone, before BN and activation.

        Args:
            x: (B, c1, H, W), floating point.

        Returns:
            (B, c2, ceil(H/stride), ceil(W/stride)).
        """
        arguments = {"rotation_groups": self.rotation_groups, "clip": self.clip}
        rotation = self.rotation_conv(x)
        if self.offset_conv is None:
            return self.conv(x, deform_kernel, rotation, **arguments)
        return self.conv(x, deform_kernel_conv, self.offset_conv(x), rotation, **arguments)

    def offset_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters whose learning rate `offset_lr` multiplies."""
        for conv in (self.rotation_conv, self.offset_conv):
            yield from () if conv is None else conv.parameters()


@register()
class DeformKernelConv(DeformKernel):
    """DeformKernel with a deformable convolution (DC+DK).

    Its taps move both in the scope and in the feature map.

    Parameters: (c1*c2//(groups or gcd(c1, c2))*scope**2
        + 2*(c2 + (rotation_groups + 1)*kernel_size**2*(c1*kernel_size**2 + 1))):
        scope, BN, the convolutions of rotations and offsets.

    Args:
        c1 to act: as in `DeformKernel`. There is one set of offsets for all channels, and zeros outside of the map.

    Raises:
        RowError: an argument is out of range.

    Example:
        >>> import torch
        >>> from akyolo import DeformKernelConv
        >>> DeformKernelConv(4, 4, 3, 2)(torch.rand(2, 4, 32, 40)).shape
        torch.Size([2, 4, 16, 20])
    """

    has_offsets = True
