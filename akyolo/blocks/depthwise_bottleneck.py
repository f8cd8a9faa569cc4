"""DWBottleneck: the bottleneck of ResNet-50-DW.

Paper: H. Gao et al., "Deformable Kernels: Adapting Effective Receptive Fields for Object Deformation", arXiv
1910.02940, section 4.1. The bottleneck is that of K. He et al., "Deep Residual Learning for Image Recognition", arXiv
1512.03385, with doubled width and the stride in the 3x3.

    y = ReLU(conv3(depthwise(conv1(x))) + shortcut(x)),    channels c1 -> c2/2 -> c2/2 -> c2
"""

from torch import Tensor, nn

from akyolo.blocks.slots import Written, activation, depthwise_conv, pointwise_conv
from akyolo.checks import check_act
from akyolo.errors import RowError
from akyolo.registry import register
from akyolo.upstream_blocks import Conv


@register(stands_in="Bottleneck")
class DWBottleneck(nn.Module):
    """A bottleneck with a depthwise 3x3 and a shortcut.

    A 1x1, the 3x3 and a 1x1 follow each other.

    All three convolutions may be operators.

    Parameters: c1*(c2//2) + (c2//2)*c2 + 13*(c2//2) + 2*c2 + (stride > 1 or c1 != c2)*(c1*c2 + 2*c2): plain, with BN.

    Args:
        c1: input channels.
        c2: output channels, an even number.
        stride: stride of the 3x3 and of the shortcut.
        depthwise: the 3x3: `Conv`, an operator, or an operator with its arguments, as `{DeformKernel: {scope: 4}}`.
        pointwise: both 1x1 convolutions, in the same form. The 1x1 of the shortcut stays a Conv.
        act: true for upstream's activation, false for none, or a module.

    Raises:
        RowError: an odd number of output channels, or an operator that does not fit.
    """

    def __init__(
        self,
        c1: int,
        c2: int,
        stride: int = 1,
        *,
        depthwise: Written = "Conv",
        pointwise: Written = "Conv",
        act: bool | nn.Module = True,
    ) -> None:
        """Build the layers."""
        super().__init__()
        if c2 % 2:
            raise RowError(f"c2={c2} must be even: the middle has half as many channels")
        check_act(act)
        width = c2 // 2
        self.conv1 = pointwise_conv(pointwise, c1, width, act)
        self.depthwise = depthwise_conv(depthwise, width, stride, act)
        self.conv3 = pointwise_conv(pointwise, width, c2, False)
        keeps_shape = stride == 1 and c1 == c2
        self.shortcut = nn.Identity() if keeps_shape else Conv(c1, c2, 1, stride, act=False)
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, c1, H, W) to (B, c2, ceil(H/stride), ceil(W/stride))."""
        return self.act(self.conv3(self.depthwise(self.conv1(x))) + self.shortcut(x))
