"""RFAConv: a convolution whose taps are weighted by attention.

Paper: X. Zhang et al., "RFAConv: Innovating Spatial Attention and Standard Convolutional Operation", arXiv 2304.03198.

    y = SiLU(BN(sum over c, n of W[c, n] a[c, n] f[c, n]))
    a[c, n] = softmax over n of (A[c, n] (mean of x[c] over the window)),    f[c, n] = ReLU(BN(F[c, n] * x[c]))

with N = k*k taps. For each tap of each channel there is a learned number A[c, n] and a learned k x k kernel F[c, n].
The attention differs from position to position and from channel to channel. The paper arranges the taps of all
positions as a feature map of h*k x w*k pixels and convolves it with stride k, which is the same sum.

Deviations of the released code: for an even kernel its output is one pixel larger; here the output has ceil(H/stride)
pixels, and the extra tap is below and right. Zeros beyond the border count in the mean, as in the released code.
"""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from akyolo.checks import check_whole
from akyolo.layers import ColumnConv, OperatorConv
from akyolo.registry import register
from akyolo.sampling import mix, pad_if_even
from akyolo.upstream_blocks import Conv


def rfaconv(features: Tensor, scores: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Weight taps by attention and mix them.

    Args:
        features: (B, C, N, h, w), floating point: the features of N taps.
        scores: (B, C, N, h, w); their softmax over the N taps is the attention.
        weight: (O, C, N, 1).
        bias: (O,) or None.

    Returns:
        (B, O, h, w).

    Example:
        >>> import torch
        >>> from akyolo import rfaconv
        >>> features, scores = torch.ones(1, 3, 9, 4, 5), torch.rand(1, 3, 9, 4, 5)
        >>> rfaconv(features, scores, torch.ones(2, 3, 9, 1)).round()[0, :, 0, 0]  # the attention sums to 1
        tensor([3., 3.])

    Source: arXiv 2304.03198, the equation of RFA.
    """
    return mix(features * scores.softmax(dim=2), weight, bias)


@register()
class RFAConv(OperatorConv):
    """A convolution that weights its taps by attention.

    Its kernel therefore differs from position to position.

    Parameters: c1*c2*kernel_size**2 + 2*c2 + c1*kernel_size**2*(kernel_size**2 + 3): mixing weights, BN, features with
    their BN and attention.

    Args:
        c1: input channels.
        c2: output channels.
        kernel_size: height and width of the receptive field, of k*k taps.
        stride: pixels of the input between neighbouring outputs; output height is ceil(H/stride).
        act: as in Ultralytics' Conv: true for the model's activation, false for none, or a module.

    Raises:
        RowError: an argument is out of range.

    Example:
        >>> import torch
        >>> from akyolo import RFAConv
        >>> RFAConv(3, 8, 3, 2)(torch.rand(2, 3, 32, 40)).shape
        torch.Size([2, 8, 16, 20])
    """

    def __init__(self, c1: int, c2: int, kernel_size: int, stride: int = 1, act: bool | nn.Module = True) -> None:
        """Check the arguments and build the layers."""
        check_whole(kernel_size=kernel_size, stride=stride)
        taps = kernel_size**2
        super().__init__(c1, c2, ColumnConv(c1, c2, taps), act)
        self.kernel_size, self.stride, self.padding = kernel_size, stride, (kernel_size - 1) // 2
        self.attention = nn.Conv2d(c1, c1 * taps, 1, groups=c1, bias=False)
        self.features = Conv(c1, c1 * taps, kernel_size, stride, self.padding, g=c1, act=nn.ReLU())

    def raw(self, x: Tensor) -> Tensor:
        """Apply the operator alone, before the last BN and activation.

        Args:
            x: (B, c1, H, W), floating point.

        Returns:
            (B, c2, ceil(H/stride), ceil(W/stride)).
        """
        padded = pad_if_even(x, self.kernel_size)
        means = F.avg_pool2d(padded, self.kernel_size, self.stride, self.padding)
        features, scores = (
            rearrange(y, "b (c n) h w -> b c n h w", c=x.shape[1])
            for y in (self.features(padded), self.attention(means))
        )
        return self.conv(features, rfaconv, scores)
