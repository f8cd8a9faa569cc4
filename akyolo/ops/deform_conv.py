"""DeformConv and ModulatedDeformConv: taps with learned offsets.

Paper: J. Dai et al., "Deformable Convolutional Networks", arXiv 1703.06211 (v1, ICCV 2017); X. Zhu et al., "Deformable
ConvNets v2: More Deformable, Better Results", arXiv 1811.11168 (v2, CVPR 2019).

    y[b, :, i, j] = SiLU(BN(sum over n of W[n] x(p[n]) m[n](x))),    p[n] = (i*s, j*s) + grid[n] + offset[n](x)

    m[n] = 1 in v1, the sigmoid of a convolution of x in v2. Beyond the border x is zero.

Deviations of the released code: the first release of v1 samples zero above and left of the centre of the first pixel
and repeats the last pixel below and right; here, as in the release of v2, samples blend with the zeros outside. The
release of v2 computes offsets and mask by one convolution; here they have one each, of the same size. As in the
release, all of them are initialised to zero: v1 starts as the plain convolution, v2 as half of it (its mask is 1/2, and
never above 1). The smaller learning rate of the offsets in v2 (a factor of 0.1) is the training argument `offset_lr`.
"""

from collections.abc import Iterator
from itertools import chain

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from akyolo.checks import check_divides, check_whole
from akyolo.layers import OperatorConv, ZeroConv
from akyolo.registry import checkpoint_class, register
from akyolo.sampling import captures_a_graph, keeps_memory_format, kernel_positions, mix, regular_grid, sample


@keeps_memory_format()
def deform_conv(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: int | None = None,
    dilation: int = 1,
    mask: Tensor | None = None,
) -> Tensor:
    """Convolve `x` with taps moved by offsets.

    On a CPU, and whenever a graph is captured, this uses our sampler, which takes a fraction of the time of
    torchvision's kernel (`akyolo bench ops --op DeformConv`; figures in docs/measurements.md). On CUDA it uses
    torchvision's kernel; which of the two is faster there was not measured.

    Args:
        x: (B, C, H, W), floating point.
        offset: (B, 2*G*k*k, h, w), in pixels of x; channel 2*(g*k*k + u*k + v) is the row of tap (u, v) for the g-th of
            G equal parts of the channels, the next channel its column.
        weight: (O, C/groups, k, k).
        bias: (O,) or None.
        stride: pixels of x between neighbouring outputs.
        padding: pixels from the output's position to the first tap, upwards and to the left; dilation*(k - 1) // 2 by
            default, with h = ceil(H/stride). Below and right there are as many zeros as h and w need.
        dilation: pixels of x between neighbouring taps.
        mask: (B, G*k*k, h, w), channel g*k*k + u*k + v: factors of the samples; None for 1.

    Returns:
        (B, O, h, w) in the memory format of x. Positions and bilinear weights are computed in at least float32; an
        offset that is not finite gives NaN.

    Example:
        >>> import torch
        >>> from akyolo import deform_conv
        >>> x, weight, offset = torch.rand(1, 3, 6, 8), torch.rand(4, 3, 3, 3), torch.zeros(1, 18, 6, 8)
        >>> plain = torch.nn.functional.conv2d(x, weight, padding=1)
        >>> torch.allclose(deform_conv(x, offset, weight), plain, atol=1e-5)
        True

    Source: arXiv 1703.06211, eq. 2; with a mask arXiv 1811.11168, eq. 1.
    """
    padding = dilation * (weight.shape[-1] - 1) // 2 if padding is None else padding
    realisation = deform_by_torchvision if x.device.type == "cuda" and not captures_a_graph() else deform_by_sampling
    return realisation(x, offset, weight, bias, stride, padding, dilation, mask)


def deform_by_sampling(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int,
    padding: int,
    dilation: int,
    mask: Tensor | None,
) -> Tensor:
    """Compute `deform_conv` by `akyolo.sampling`.

    The result has any memory format.
    """
    k, taps = weight.shape[-1], weight.shape[-1] ** 2
    parts, groups = int(offset.shape[1] // (2 * taps)), int(x.shape[1] // weight.shape[1])
    grouped = rearrange(offset, "b (g n yx) h w -> (b g) (yx n) h w", g=parts, yx=2)
    positions = kernel_positions(grouped, regular_grid(k, dilation, padding), stride)
    samples = sample(rearrange(x, "b (g c) h w -> (b g) c h w", g=parts), positions)
    if mask is not None:
        samples = samples * rearrange(mask.to(samples.dtype), "b (g n) h w -> (b g) 1 n h w", g=parts)
    samples = rearrange(samples, "(b g) c n h w -> b (g c) n h w", g=parts)
    return mix(samples, rearrange(weight, "o c u v -> o c (u v) 1"), bias, groups)


def deform_by_torchvision(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int,
    padding: int,
    dilation: int,
    mask: Tensor | None,
) -> Tensor:
    """Compute `deform_conv` by torchvision's kernel.

    The result has any memory format.

    It computes in at least float32.
    """
    from torchvision.ops import deform_conv2d  # only CUDA needs it

    dtype = torch.promote_types(torch.promote_types(x.dtype, offset.dtype), torch.float32)
    reach = dilation * (weight.shape[-1] - 1)
    # the kernel pads both sides equally; further zeros that h and w need are added below and right
    missing = [
        max(0, (out - 1) * stride + reach + 1 - 2 * padding - length)
        for out, length in zip(offset.shape[-2:], x.shape[-2:], strict=True)
    ]
    padded = F.pad(x, (0, missing[1], 0, missing[0])) if any(missing) else x
    mixed = deform_conv2d(
        padded.to(dtype),
        offset.to(dtype).nan_to_num(0.0, 0.0, 0.0),  # the kernel would read memory at such a position
        weight.to(dtype),
        None if bias is None else bias.to(dtype),
        stride,
        padding,
        dilation,
        None if mask is None else mask.to(dtype),
    )
    return (mixed + (offset.to(dtype) * 0).sum(1, keepdim=True)).to(x.dtype)


@checkpoint_class
class DeformedConv(nn.Conv2d):
    """Hold the weight of `deform_conv` as a convolution.

    It is (c2, c1/groups, k, k), without bias.

    So profilers count it, `fuse()` can fold a BN into it, and the weight of a trained plain convolution fits.

    Args:
        c1: input channels.
        c2: output channels.
        kernel_size: height and width of the kernel.
        stride: pixels of the input between neighbouring outputs.
        dilation: pixels of the input between neighbouring taps.
        groups: number of groups of channels, as in a convolution.
    """

    def __init__(self, c1: int, c2: int, kernel_size: int, stride: int, dilation: int, groups: int) -> None:
        """Build the layer."""
        padding = dilation * (kernel_size - 1) // 2
        super().__init__(c1, c2, kernel_size, stride, padding, dilation, groups, bias=False)

    def forward(  # type: ignore[override]
        self, x: Tensor, offset: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Convolve x with taps moved by offsets.

        Args:
            x: (B, c1, H, W), floating point.
            offset: as `deform_conv` takes it.
            mask: as `deform_conv` takes it.

        Returns:
            (B, c2, h, w).
        """
        return deform_conv(x, offset, self.weight, self.bias, **self.geometry, mask=mask)

    @property
    def geometry(self) -> dict[str, int]:
        """Return stride, padding and dilation."""
        return {"stride": self.stride[0], "padding": int(self.padding[0]), "dilation": self.dilation[0]}


@register()
class DeformConv(OperatorConv):
    """Deformable convolution (DCNv1): taps with learned offsets.

    Parameters: c1*c2*kernel_size**2//groups + 2*c2 + (c1*kernel_size**2 + 1)*2*offset_groups*kernel_size**2: mixing
    weights, BN, offset convolution.

    Args:
        c1: input channels.
        c2: output channels.
        kernel_size: height and width of the kernel, also of the offset convolution.
        stride: pixels of the input between neighbouring outputs; output height is ceil(H/stride).
        dilation: pixels of the input between neighbouring taps, also of the offset convolution.
        groups: number of groups of channels, as in a convolution; divides c1 and c2.
        offset_groups: equal parts of the input channels, each with offsets of its own; divides c1.
        act: as in Ultralytics' Conv: true for the model's activation, false for none, or a module.

    Raises:
        RowError: an argument is out of range.

    Example:
        >>> import torch
        >>> from akyolo import DeformConv
        >>> DeformConv(3, 8, 3, 2)(torch.rand(2, 3, 32, 40)).shape
        torch.Size([2, 8, 16, 20])
    """

    samples_input = True
    conv: DeformedConv

    def __init__(
        self,
        c1: int,
        c2: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        offset_groups: int = 1,
        act: bool | nn.Module = True,
    ) -> None:
        """Check the arguments and build the layers."""
        check_whole(
            kernel_size=kernel_size, stride=stride, dilation=dilation, groups=groups, offset_groups=offset_groups
        )
        check_divides(c1, c2, groups=groups)
        check_divides(c1, offset_groups=offset_groups)
        super().__init__(c1, c2, DeformedConv(c1, c2, kernel_size, stride, dilation, groups), act)
        self.offset_conv = ZeroConv(c1, 2 * offset_groups * kernel_size**2, stride, kernel_size, dilation)

    def raw(self, x: Tensor) -> Tensor:
        """Apply the operator alone, before BN and activation.

        Args:
            x: (B, c1, H, W), floating point.

        Returns:
            (B, c2, ceil(H/stride), ceil(W/stride)).
        """
        return self.conv(x, self.offset_conv(x), self.mask(x))

    def mask(self, x: Tensor) -> Tensor | None:
        """Return None: all taps have the factor 1."""

    def offset_parameters(self) -> Iterator[nn.Parameter]:
        """Return the parameters whose learning rate `offset_lr` multiplies."""
        return self.offset_conv.parameters()


@register()
class ModulatedDeformConv(DeformConv):
    """Modulated deformable convolution (DCNv2): DeformConv with a learned mask.

    The mask, from 0 to 1, weights the taps. It is 1/2 at the start, so the operator starts as half of the plain
    convolution. The weight of a plain convolution fits, its BN does not.

    Parameters: c1*c2*kernel_size**2//groups + 2*c2 + (c1*kernel_size**2 + 1)*3*offset_groups*kernel_size**2: mixing
    weights, BN, the convolutions of offsets and mask.

    Args:
        c1: input channels.
        c2: output channels.
        kernel_size: height and width of the kernel, also of the convolutions of offsets and mask.
        stride: pixels of the input between neighbouring outputs; output height is ceil(H/stride).
        dilation: pixels of the input between neighbouring taps, also of the convolutions of offsets and mask.
        groups: number of groups of channels, as in a convolution; divides c1 and c2.
        offset_groups: equal parts of the input channels, each with offsets and a mask of its own; divides c1.
        act: as in Ultralytics' Conv: true for the model's activation, false for none, or a module.

    Raises:
        RowError: an argument is out of range.

    Example:
        >>> import torch
        >>> from akyolo import ModulatedDeformConv
        >>> ModulatedDeformConv(4, 8, 3, 2, offset_groups=2)(torch.rand(2, 4, 32, 40)).shape
        torch.Size([2, 8, 16, 20])
    """

    normalised = ("conv.weight", "mask_conv.weight")

    def __init__(
        self,
        c1: int,
        c2: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        offset_groups: int = 1,
        act: bool | nn.Module = True,
    ) -> None:
        """Check the arguments and build the layers."""
        super().__init__(c1, c2, kernel_size, stride, dilation, groups, offset_groups, act)
        self.mask_conv = ZeroConv(c1, offset_groups * kernel_size**2, stride, kernel_size, dilation)

    def mask(self, x: Tensor) -> Tensor:
        """Compute the mask of each tap.

        Args:
            x: (B, c1, H, W), floating point.

        Returns:
            (B, offset_groups*k*k, h, w), from 0 to 1.

        Source: arXiv 1811.11168, section 3.2.
        """
        return self.mask_conv(x).sigmoid()

    def offset_parameters(self) -> Iterator[nn.Parameter]:
        """Return the parameters whose learning rate `offset_lr` multiplies.

        The paper gives both convolutions a smaller learning rate.
        """
        return chain(self.offset_conv.parameters(), self.mask_conv.parameters())
