"""GlobalDeformKernel: a sampled kernel for each image.

Paper: H. Gao et al., "Deformable Kernels: Adapting Effective Receptive Fields for Object Deformation", ICLR 2020,
arXiv 1910.02940.

    y[b, o, i, j] = sum over n, c of W[o, c](q[b, n]) x[b, c](p[n]),
    p[n] = (i*s, j*s) + d*((u, v) - (k - 1)/2),    q[b, n] = (u, v) + (S - k)/2 + rotation[n](mean of x[b])

with the tap n = (u, v) of a k x k kernel, k odd, and W(q) bilinear between the S x S weights of the scope. There is one
set of rotations (the release's word for offsets in the kernel) for each image. The paper calls this global;
`DeformKernel` is the local form.

Deviations of the released code: none is known. Both deviate from the paper in the same way: the taps start next to each
other in the middle of the scope, over which the paper spreads them evenly.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from akyolo.layers import OperatorConv, ScopeConv, ZeroLinear, regular_taps, sampled_kernels
from akyolo.registry import register
from akyolo.sampling import captures_a_graph, keeps_memory_format


@keeps_memory_format(inside=torch.contiguous_format)  # the batch is merged with the channels
def global_deform_kernel(
    x: Tensor,
    rotation: Tensor,
    weight: Tensor,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve each image with its own kernel.

    Args:
        x: (B, C, H, W), floating point.
        rotation: (B, 2*k*k) in the order tap, (y, x), in steps of the scope; the taps are clamped to it.
        weight: the scope, (O, C/groups, S, S).
        stride: pixels of x between neighbouring outputs.
        dilation: pixels of x between neighbouring taps.
        groups: number of groups of channels, as in a convolution.

    Returns:
        (B, O, h, w) in the memory format of x.

    Example:
        >>> import torch
        >>> from akyolo import global_deform_kernel
        >>> x, scope = torch.ones(1, 2, 6, 8), torch.ones(2, 1, 4, 4)
        >>> global_deform_kernel(x, torch.zeros(1, 18), scope, groups=2)[0, :, 3, 3]
        tensor([9., 9.])

    Source: arXiv 1910.02940, section 3.2, global.
    """
    kernels = sampled_kernels(rearrange(rotation, "b n -> b n 1 1"), weight).to(x.dtype)
    k = math.isqrt(kernels.shape[3])
    # a captured graph has a fixed number of groups, and a convolution at least one; a 1x1 is a matrix product
    if k == 1 or captures_a_graph() or not len(x):
        return _multiply_taps(x, kernels, stride, dilation, groups)
    one_image = rearrange(x, "b c h w -> 1 (b c) h w")
    own_kernels = rearrange(kernels, "b o i (u v) 1 1 -> (b o) i u v", u=k)
    mixed = F.conv2d(one_image, own_kernels, None, stride, dilation * (k // 2), dilation, len(x) * groups)
    return rearrange(mixed, "1 (b o) h w -> b o h w", b=len(x))


def _multiply_taps(x: Tensor, kernels: Tensor, stride: int, dilation: int, groups: int) -> Tensor:
    """Convolve by one matrix product for each image.

    The kernels are (B, O, I, N, 1, 1).
    """
    h, w = ((length - 1) // stride + 1 for length in x.shape[-2:])
    padded, windows = regular_taps(x, math.isqrt(kernels.shape[3]), stride, dilation, h, w)
    taps = torch.stack([padded[window] for window in windows])
    stacked = rearrange(taps, "n b (g i) h w -> b g (i n) (h w)", g=groups)
    mixed = rearrange(kernels, "b (g o) i n 1 1 -> b g o (i n)", g=groups) @ stacked
    return rearrange(mixed, "b g o (h w) -> b (g o) h w", h=h)


@register()
class GlobalDeformKernel(OperatorConv):
    """A convolution that samples a kernel for each image.

    A linear layer computes the rotations from the mean of the input; there are no offsets. The paper trains that layer
    at 1e-2 (ResNet-50-DW) or 1e-1 (MobileNet-V2) times the learning rate: `offset_lr`.

    Parameters: c1*c2//(groups or gcd(c1, c2))*scope**2 + 2*c2 + (c1 + 1)*2*kernel_size**2: scope, BN, rotation layer.

    Args:
        c1: input channels.
        c2: output channels.
        kernel_size: side k of the sampled kernel, odd; a 1x1 kernel goes with a scope of 2.
        stride: pixels of the input between neighbouring outputs; output height is ceil(H/stride).
        scope: side S of the scope, from which the kernel is sampled, at least k.
        groups: number of groups of channels, as in a convolution; gcd(c1, c2) by default, which is depthwise for equal
            channels.
        act: as in Ultralytics' Conv: true for the model's activation, false for none, or a module.

    Raises:
        RowError: an argument is out of range.

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
        """Check the arguments and build the layers."""
        super().__init__(c1, c2, ScopeConv(c1, c2, kernel_size, stride, scope, groups=groups), act)
        self.rotation_linear = ZeroLinear(c1, 2 * kernel_size**2)

    def raw(self, x: Tensor) -> Tensor:
        """Apply the operator alone, before BN and activation.

        Args:
            x: (B, c1, H, W), floating point.

        Returns:
            (B, c2, ceil(H/stride), ceil(W/stride)).
        """
        return self.conv(x, global_deform_kernel, self.rotation_linear(x.mean((2, 3))))

    def offset_parameters(self) -> Iterator[nn.Parameter]:
        """Return the parameters whose learning rate `offset_lr` multiplies."""
        return self.rotation_linear.parameters()
