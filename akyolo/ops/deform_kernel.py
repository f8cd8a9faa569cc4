"""Deformable kernels: a convolution that samples its weights anew from a larger kernel, its scope, for what it sees.

Paper: H. Gao et al., "Deformable Kernels: Adapting Effective Receptive Fields for Object Deformation", ICLR 2020,
arXiv 1910.02940.

    y[b, o, i, j] = sum over n, c of W[o, c](q[n]) x[b, c](p[n]),
    p[n] = (i*s, j*s) + d*((u, v) - (k - 1)/2) + offset[n](x),    q[n] = (u, v) + (S - k)/2 + rotation[n](x)

with the tap n = (u, v) of a k x k kernel, k odd, W(q) bilinear between the S x S weights of the scope, and an offset in
`DeformKernelConv` only. The rotations (the release's word for kernel offsets) are one set per image (global) or one per
output position (local).

Deviations of the released code: its DC+DK never learns a rotation (it passes none), here it does, as in the paper; it
multiplies the offsets by the dilation, here they are pixels; its local kernels are depthwise only. From the paper both
deviate alike: the taps start side by side in the middle of the scope, over which the paper spreads them evenly. As in
the release the slope at a weight is that to its right, for the last one that towards zero.
"""

import math
from collections.abc import Iterator
from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from akyolo.checks import check_divides, check_flag, check_whole
from akyolo.errors import RowError
from akyolo.layers import OperatorConv, ScopeConv, ZeroConv, ZeroLinear, regular_taps, sum_over_taps
from akyolo.registry import register
from akyolo.sampling import (
    captures_a_graph,
    converted,
    kernel_positions,
    memory_format,
    regular_grid,
    sample,
    sampling_format,
)


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
    """Convolve with a kernel of its own at every output position (arXiv 1910.02940, section 3.2, local).

    Args:
        x: (B, C, H, W), floating point.
        rotation: (B, 2*rotation_groups*k*k, h, w), the channels in the order group, tap, (y, x), in steps of the scope.
            Output channel o uses group o % rotation_groups.
        weight: the scope, (O, C/groups, S, S).
        stride: pixels of x between neighbouring outputs.
        dilation: pixels of x between neighbouring taps.
        groups: as in a convolution.
        rotation_groups: how many sets of rotations, a divisor of O.
        clip: keep the taps inside the scope; otherwise there are zeros outside.

    Returns:
        (B, O, h, w) in the memory format of x.

    Example:
        >>> import torch
        >>> from akyolo import deform_kernel
        >>> x, scope = torch.ones(1, 2, 6, 8), torch.ones(2, 1, 4, 4)  # depthwise
        >>> deform_kernel(x, torch.zeros(1, 18, 6, 8), scope, groups=2)[0, :, 3, 3]
        tensor([9., 9.])
    """
    kernels = sampled_kernels(rotation, weight, rotation_groups, clip)
    k, (h, w) = math.isqrt(kernels.shape[3]), rotation.shape[-2:]
    seen, where = regular_taps(x, k, stride, dilation, h, w)
    return converted(sum_over_taps(seen, kernels, where, groups), memory_format(x))


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
    """`deform_kernel` at moved positions of x, zeros outside: a deformable convolution too (section 3.2, DC+DK).

    Args:
        x: (B, C, H, W), floating point.
        offset: (B, 2*G*k*k, h, w), in pixels of x, for G equal parts of the input channels; its own channels in the
            order part, tap, (y, x).
        rotation: as in `deform_kernel`, like all that follows.
        weight: the scope, (O, C/groups, S, S).
        stride: pixels of x between neighbouring outputs.
        dilation: pixels of x between neighbouring taps.
        groups: as in a convolution.
        rotation_groups: how many sets of rotations, a divisor of O.
        clip: keep the taps inside the scope; otherwise there are zeros outside.

    Returns:
        (B, O, h, w) in the memory format of x.

    Example:
        >>> import torch
        >>> from akyolo import deform_kernel_conv
        >>> x, scope, zeros = torch.ones(1, 2, 6, 8), torch.ones(2, 1, 4, 4), torch.zeros(1, 18, 6, 8)
        >>> deform_kernel_conv(x, zeros, zeros, scope, groups=2)[0, :, 3, 3]
        tensor([9., 9.])
    """
    kernels = sampled_kernels(rotation, weight, rotation_groups, clip)
    k = math.isqrt(kernels.shape[3])
    parts = int(offset.shape[1] // (2 * k * k))
    rows_then_columns = rearrange(offset, "b (g n yx) h w -> (b g) (yx n) h w", g=parts, yx=2)
    positions = kernel_positions(rows_then_columns, regular_grid(k, dilation), stride)
    seen = sample(rearrange(x, "b (g c) h w -> (b g) c h w", g=parts), positions)
    seen = rearrange(seen, "(b g) c n h w -> b (g c) n h w", g=parts)
    where = [(..., n, slice(None), slice(None)) for n in range(k * k)]
    return converted(sum_over_taps(seen, kernels, where, groups), memory_format(x))


def global_deform_kernel(
    x: Tensor,
    rotation: Tensor,
    weight: Tensor,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve every image with a kernel of its own (arXiv 1910.02940, section 3.2, global).

    Args:
        x: (B, C, H, W), floating point.
        rotation: (B, 2*k*k) in the order tap, (y, x), in steps of the scope; the taps stay inside it.
        weight: the scope, (O, C/groups, S, S).
        stride: pixels of x between neighbouring outputs.
        dilation: pixels of x between neighbouring taps.
        groups: as in a convolution.

    Returns:
        (B, O, h, w) in the memory format of x.

    Example:
        >>> import torch
        >>> from akyolo import global_deform_kernel
        >>> x, scope = torch.ones(1, 2, 6, 8), torch.ones(2, 1, 4, 4)
        >>> global_deform_kernel(x, torch.zeros(1, 18), scope, groups=2)[0, :, 3, 3]
        tensor([9., 9.])
    """
    kernels = sampled_kernels(rearrange(rotation, "b n -> b n 1 1"), weight).to(x.dtype)
    k = math.isqrt(kernels.shape[3])
    h, w = ((length - 1) // stride + 1 for length in x.shape[-2:])
    # a number of groups can be neither recorded in a graph nor 0, and a 1x1 is a matrix product anyway
    if k == 1 or captures_a_graph() or not len(x):
        seen, where = regular_taps(x, k, stride, dilation, h, w)
        stacked = rearrange(torch.stack([seen[at] for at in where]), "n b (g i) h w -> b g (i n) (h w)", g=groups)
        mixed = rearrange(kernels, "b (g o) i n 1 1 -> b g o (i n)", g=groups) @ stacked
        return converted(rearrange(mixed, "b g o (h w) -> b (g o) h w", h=h), memory_format(x))
    one_image = rearrange(x, "b c h w -> 1 (b c) h w")
    own_kernels = rearrange(kernels, "b o i (u v) 1 1 -> (b o) i u v", u=k)
    mixed = F.conv2d(one_image, own_kernels, None, stride, dilation * (k // 2), dilation, len(x) * groups)
    return converted(rearrange(mixed, "1 (b o) h w -> b o h w", b=len(x)), memory_format(x))


def sampled_kernels(rotation: Tensor, weight: Tensor, rotation_groups: int = 1, clip: bool = True) -> Tensor:
    """Look at the scope in (u, v) + (S - k)/2 + rotation (arXiv 1910.02940, section 3.1, with the release's grid).

    Args:
        rotation: (B, 2*rotation_groups*N, h, w), N = k*k, as in `deform_kernel`.
        weight: (O, I, S, S).
        rotation_groups: a divisor of O.
        clip: clamp to [0, S-1], where the slope still is that of the scope; beyond it is 0.

    Returns:
        (B, O, I, N, h, w) in the dtype of weight. Positions stay in at least float32; one that is not finite gives NaN.
    """
    dtype = torch.promote_types(rotation.dtype, torch.float32)
    scope, h = weight.shape[-1], rotation.shape[2]
    k = math.isqrt(rotation.shape[1] // (2 * rotation_groups))
    start = torch.tensor(regular_grid(k, padding=0), dtype=dtype, device=rotation.device) + (scope - k) / 2
    # in the order in which `sample` reads positions, see kernel_positions
    yx = rearrange(rotation.to(dtype), "b (g n yx) h w -> yx g (b h) w n", g=rotation_groups, yx=2)
    yx = yx + rearrange(start, "n yx -> yx 1 1 1 n")
    if clip:  # the slope at both limits included, which torch's clamp has in some versions only
        here = yx.detach()
        yx = torch.where((here >= 0) & (here <= scope - 1), yx, (here + here * 0).clamp(0, scope - 1))
    scopes = rearrange(weight, "(o g) i u v -> g (o i) u v", g=rotation_groups)
    seen = sample(scopes, rearrange(yx, "yx g bh w n -> g n bh w yx"))
    # channels stay side by side in memory
    seen = rearrange(seen, "g (o i) n (b h) w -> b h w n (o g) i", i=weight.shape[1], h=h)
    return rearrange(seen, "b h w n o i -> b o i n h w")


def checked_scope_conv(
    c1: int, c2: int, kernel_size: int, stride: int, scope: int, dilation: int, groups: int | None
) -> ScopeConv:
    """The layer of the scope, with groups = gcd(c1, c2) when left out, as in upstream's DWConv.

    Raises:
        RowError: an argument that no kernel can have.
    """
    groups = math.gcd(c1, c2) if groups is None else groups
    check_whole(kernel_size=kernel_size, stride=stride, scope=scope, dilation=dilation, groups=groups)
    if kernel_size % 2 == 0:
        raise RowError(f"kernel_size={kernel_size} must be odd")
    if scope < kernel_size:
        raise RowError(f"scope={scope} must be at least kernel_size={kernel_size}")
    check_divides(c1, c2, groups=groups)
    return ScopeConv(c1, c2, kernel_size, stride, scope, dilation, groups)


@register()
class GlobalDeformKernel(OperatorConv):
    """A kernel of its own for every image, sampled from the scope where a linear layer on the image's mean says.

    There is no offset in it, and one rotation per image. The paper trains that layer at 1e-2 (ResNet-50-DW) or 1e-1
    (MobileNet-V2) times the rate: `offset_lr`.

    Parameters: c1*c2//(groups or gcd(c1, c2))*scope**2 + 2*c2 + (c1 + 1)*2*kernel_size**2: scope, BN, rotations.

    Args:
        c1: input channels.
        c2: output channels.
        kernel_size: side k of the sampled kernel, odd; a 1x1 has its place in a scope of 2.
        stride: pixels of the input between neighbouring outputs; output height is ceil(H/stride).
        scope: side S of the kernel that is sampled, at least k.
        groups: as in a convolution; gcd(c1, c2), which is depthwise for equal channels, when left out.
        act: as in upstream's Conv: true for the model's activation, false for none, or a module.

    Raises:
        RowError: an argument that no kernel can have.

    Example:
        >>> import torch
        >>> from akyolo import GlobalDeformKernel
        >>> GlobalDeformKernel(4, 8, 3, 2)(torch.rand(2, 4, 32, 40)).shape
        torch.Size([2, 8, 16, 20])
    """

    conv: ScopeConv

    def __init__(
        self,
        c1: int,
        c2: int,
        kernel_size: int,
        stride: int = 1,
        scope: int = 4,
        groups: int | None = None,
        act: bool | nn.Module = True,
    ) -> None:
        super().__init__(c1, c2, checked_scope_conv(c1, c2, kernel_size, stride, scope, 1, groups), act)
        self.rotation_linear = ZeroLinear(c1, 2 * kernel_size**2)

    def raw(self, x: Tensor) -> Tensor:
        """The convolution alone, before BN and activation."""
        # profilers count the matrix product of a 1x1; as a convolution by all of the scope it would be S*S times that
        convolved = self.conv.convolved if self.conv.taps_per_side == 1 else self.conv
        return convolved(x, global_deform_kernel, self.rotation_linear(x.mean((2, 3))))

    def offset_parameters(self) -> Iterator[nn.Parameter]:
        """What the training argument `offset_lr` scales."""
        return self.rotation_linear.parameters()


@register()
class DeformKernel(OperatorConv):
    """A kernel of its own at every position, sampled from the scope where a dense convolution says (local).

    There is no offset in it. The paper trains that convolution at 1e-2 (ResNet-50-DW) or 1e-1 (MobileNet-V2) times the
    rate: `offset_lr`.
    Profilers count the scope as a convolution of S x S.

    Parameters: c1*c2//(groups or gcd(c1, c2))*scope**2 + 2*(c2 + rotation_groups*kernel_size**2*(c1*kernel_size**2+1)):
        the scope, BN, the rotations' convolution.

    Args:
        c1: input channels.
        c2: output channels.
        kernel_size: side k of the sampled kernels, odd.
        stride: pixels of the input between neighbouring outputs; output height is ceil(H/stride).
        scope: side S of the kernel that is sampled, at least k.
        dilation: pixels of the input between neighbouring taps, also of the rotations' convolution.
        groups: as in a convolution; gcd(c1, c2), which is depthwise for equal channels, when left out.
        rotation_groups: sets of rotations; output channel o uses set o % rotation_groups.
        clip: keep the taps inside the scope; otherwise there are zeros outside.
        act: as in upstream's Conv: true for the model's activation, false for none, or a module.

    Raises:
        RowError: an argument that no kernel can have.

    Example:
        >>> import torch
        >>> from akyolo import DeformKernel
        >>> DeformKernel(4, 4, 3, 2, scope=5)(torch.rand(2, 4, 32, 40)).shape
        torch.Size([2, 4, 16, 20])
    """

    conv: ScopeConv
    moves_pixels: ClassVar[bool] = False

    def __init__(  # noqa: PLR0913, PLR0917  what a row may say
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
        check_whole(rotation_groups=rotation_groups)
        check_flag(clip=clip)
        check_divides(c2, rotation_groups=rotation_groups)
        super().__init__(c1, c2, checked_scope_conv(c1, c2, kernel_size, stride, scope, dilation, groups), act)
        self.rotation_groups, self.clip = rotation_groups, clip
        points = 2 * kernel_size**2
        self.rotation_conv = ZeroConv(c1, rotation_groups * points, stride, kernel_size, dilation)
        self.offset_conv = ZeroConv(c1, points, stride, kernel_size, dilation) if self.moves_pixels else None

    def raw(self, x: Tensor) -> Tensor:
        """The convolution alone, before BN and activation."""
        seen = sampling_format(x)  # one conversion for all that look at it
        how = {"rotation_groups": self.rotation_groups, "clip": self.clip}
        rotation = self.rotation_conv(seen)
        if self.offset_conv is None:
            mixed = self.conv(seen, deform_kernel, rotation, **how)
        else:
            mixed = self.conv(seen, deform_kernel_conv, self.offset_conv(seen), rotation, **how)
        return converted(mixed, memory_format(x))

    def offset_parameters(self) -> Iterator[nn.Parameter]:
        """What the training argument `offset_lr` scales."""
        for conv in (self.rotation_conv, self.offset_conv):
            yield from () if conv is None else conv.parameters()


@register()
class DeformKernelConv(DeformKernel):
    """`DeformKernel` and a deformable convolution in one: it moves its taps both in the scope and in the map (DC+DK).

    Parameters: (c1*c2//(groups or gcd(c1, c2))*scope**2
        + 2*(c2 + (rotation_groups + 1)*kernel_size**2*(c1*kernel_size**2 + 1))):
        the scope, BN, the convolutions of rotations and offsets.

    Args:
        c1 to act: as of `DeformKernel`. The offsets are one set for all channels, zeros lie outside the map.

    Raises:
        RowError: an argument that no kernel can have.

    Example:
        >>> import torch
        >>> from akyolo import DeformKernelConv
        >>> DeformKernelConv(4, 4, 3, 2)(torch.rand(2, 4, 32, 40)).shape
        torch.Size([2, 4, 16, 20])
    """

    moves_pixels = True
