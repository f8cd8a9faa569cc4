"""CondConv: each image has its own mixture of kernels.

Paper: B. Yang et al., "CondConv: Conditionally Parameterized Convolutions for Efficient Inference", NeurIPS 2019, arXiv
1904.04971 (first called soft conditional computation).

    y[b] = SiLU(BN((sum over e of r[b, e] W[e]) * x[b])),    r[b] = sigmoid(R (mean over the pixels of x[b]) + t)

with experts W[e], each of the size of a plain kernel, a learned matrix R and a learned bias t. The equation printed in
the paper has no t.

Deviations of the released code: none is known; this was written from the paper. An even kernel has its extra tap below
and right.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from akyolo.checks import check_divides, check_whole
from akyolo.layers import OperatorConv
from akyolo.registry import checkpoint_class, register
from akyolo.sampling import captures_a_graph, keeps_memory_format, pad_if_even


@keeps_memory_format(inside=torch.contiguous_format)  # the batch is merged with the channels
def cond_conv(
    x: Tensor, routing: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, groups: int = 1
) -> Tensor:
    """Convolve each image with its own mixture of experts.

    Args:
        x: (B, C, H, W), floating point.
        routing: (B, E), the weight of each expert for each image.
        weight: (O, E*C/groups, k, k): the experts W[e], each (O, C/groups, k, k), concatenated along the second axis.
        bias: (O,), not weighted by the routing, or None.
        stride: pixels of x between neighbouring outputs.
        groups: number of groups of channels of each expert.

    Returns:
        (B, O, ceil(H/stride), ceil(W/stride)) in the memory format of x.

    Example:
        >>> import torch
        >>> from akyolo import cond_conv
        >>> x, experts = torch.ones(2, 3, 6, 8), torch.ones(4, 2 * 3, 1, 1)  # two experts of 3 input channels
        >>> cond_conv(x, torch.tensor([[1.0, 0.0], [0.5, 0.5]]), experts)[:, 0, 0, 0]
        tensor([3., 3.])

    Source: arXiv 1904.04971, section 3, eq. 1.
    """
    k = weight.shape[-1]
    # a captured graph has a fixed number of groups, and a convolution has at least one: neither can be the batch
    convolve = _convolve_with_all_experts if captures_a_graph() or len(x) == 0 else _convolve_with_mixed_kernels
    return convolve(pad_if_even(x, k), routing, weight, bias, stride, (k - 1) // 2, groups)


def _convolve_with_mixed_kernels(
    x: Tensor, routing: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, groups: int
) -> Tensor:
    """Mix the kernels, then convolve once.

    The images are groups of one convolution.

    The kernels are mixed in the precision of the layer: rounding a kernel after mixing adds no more error than storing
    it in that precision.
    """
    b, experts = routing.shape
    stacked = rearrange(x, "b c h w -> 1 (b c) h w")
    kernels = torch.einsum("be,oem->bom", routing, rearrange(weight, "o (e i) kh kw -> o e (i kh kw)", e=experts))
    kernels = kernels.reshape(-1, weight.shape[1] // experts, *weight.shape[2:])
    biases = None if bias is None else bias.repeat(b)
    y = F.conv2d(stacked, kernels, biases, stride, padding, groups=b * groups)
    return rearrange(y, "1 (b o) h w -> b o h w", b=b)


def _convolve_with_all_experts(
    x: Tensor, routing: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, groups: int
) -> Tensor:
    """Convolve one scaled input for each expert.

    The result is the same, for E times the work.
    """
    grouped = rearrange(x, "b (g i) h w -> b g 1 i h w", g=groups)
    scaled = grouped * rearrange(routing, "b e -> b 1 e 1 1 1")
    return F.conv2d(rearrange(scaled, "b g e i h w -> b (g e i) h w"), weight, bias, stride, padding, groups=groups)


@checkpoint_class
class ExpertConv(nn.Conv2d):
    """Hold the experts, (c2, experts*c1/groups, k, k), as one convolution without bias.

    Its rows are the output channels, so that `fuse()` can fold a BN into it. Profilers count one convolution of c1
    channels, which is the cost of an image, without the mixing of the kernels.

    Args:
        c1: input channels.
        c2: output channels.
        kernel_size: height and width of the kernel.
        stride: pixels of the input between neighbouring outputs.
        experts: number of kernels to mix.
        groups: number of groups of channels of each expert.
    """

    def __init__(self, c1: int, c2: int, kernel_size: int, stride: int, experts: int, groups: int) -> None:
        """Build the layer."""
        self.experts = experts  # `reset_parameters`, which the next line calls, reads it
        super().__init__(experts * c1, c2, kernel_size, stride, groups=groups, bias=False)

    def reset_parameters(self) -> None:
        """Initialise each expert as a convolution of c1/groups*k*k inputs."""
        super().reset_parameters()
        with torch.no_grad():
            self.weight.mul_(self.experts**0.5)

    def forward(self, x: Tensor, routing: Tensor) -> Tensor:  # type: ignore[override]
        """Convolve each image with its mixture of experts.

        Args:
            x: (B, c1, H, W), floating point.
            routing: (B, experts), the weight of each expert for each image.

        Returns:
            (B, c2, h, w).
        """
        return cond_conv(x, routing, self.weight, self.bias, self.stride[0], self.groups)


@register()
class CondConv(OperatorConv):
    """A convolution that mixes its kernel for each image.

    It has the capacity of all experts at about the cost of one. A captured graph (an export, a trace) has the cost of
    all of them.

    Parameters: experts*c1*c2*kernel_size**2//groups + experts*(c1 + 1) + 2*c2: experts, routing, BN.

    Args:
        c1: input channels.
        c2: output channels.
        kernel_size: height and width of the kernel.
        stride: pixels of the input between neighbouring outputs; output height is ceil(H/stride).
        experts: number of kernels to mix, at least 1.
        groups: number of groups of channels of each expert; divides c1 and c2.
        act: as in Ultralytics' Conv: true for the model's activation, false for none, or a module.

    Raises:
        RowError: an argument is out of range.

    Example:
        >>> import torch
        >>> from akyolo import CondConv
        >>> CondConv(3, 8, 3, 2, experts=4)(torch.rand(2, 3, 32, 40)).shape
        torch.Size([2, 8, 16, 20])
    """

    def __init__(
        self,
        c1: int,
        c2: int,
        kernel_size: int,
        stride: int = 1,
        experts: int = 8,
        groups: int = 1,
        act: bool | nn.Module = True,
    ) -> None:
        """Check the arguments and build the layers."""
        check_whole(kernel_size=kernel_size, stride=stride, experts=experts, groups=groups)
        check_divides(c1, c2, groups=groups)
        super().__init__(c1, c2, ExpertConv(c1, c2, kernel_size, stride, experts, groups), act)
        self.routing = nn.Linear(c1, experts)

    def raw(self, x: Tensor) -> Tensor:
        """Apply the operator alone, before BN and activation.

        Args:
            x: (B, c1, H, W), floating point.

        Returns:
            (B, c2, ceil(H/stride), ceil(W/stride)).
        """
        return self.conv(x, torch.sigmoid(self.routing(x.mean((2, 3)))))
