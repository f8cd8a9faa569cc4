"""InvertedResidual: the block of MobileNet-V2.

It is wide and depthwise in the middle.

Paper: M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", arXiv 1801.04381, Table 1.

    y = project(depthwise(expand(x))) [+ x],    channels c1 -> e*c1 -> e*c1 -> c2, no activation after `project`
"""

from torch import Tensor, nn

from akyolo.blocks.slots import Written, depthwise_conv, pointwise_conv
from akyolo.checks import check_act, check_whole
from akyolo.registry import register


@register(stands_in="Bottleneck")
class InvertedResidual(nn.Module):
    """A block that is wide and depthwise in the middle.

    A 1x1 expands the channels, a depthwise 3x3 follows, then a 1x1 without activation.

    All three convolutions may be operators.

    Parameters: (expansion > 1)*(c1 + 2)*c1*expansion + (11 + c2)*c1*expansion + 2*c2: plain, with BN.

    Args:
        c1: input channels.
        c2: output channels.
        stride: stride of the 3x3. At stride 1 and c1 = c2, the input is added to the output.
        expansion: channels in the middle per input channel. At 1 there is no first 1x1.
        depthwise: the 3x3: `Conv`, an operator, or an operator with its arguments, as `{DeformKernel: {scope: 4}}`.
        pointwise: both 1x1 convolutions, in the same form.
        act: true for upstream's activation, false for none, or a module.

    Raises:
        RowError: an expansion that is not a whole number of at least 1, or an operator that does not fit.
    """

    def __init__(
        self,
        c1: int,
        c2: int,
        stride: int = 1,
        expansion: int = 6,
        *,
        depthwise: Written = "Conv",
        pointwise: Written = "Conv",
        act: bool | nn.Module = True,
    ) -> None:
        """Build the layers."""
        super().__init__()
        check_whole(expansion=expansion)
        check_act(act)
        width = c1 * expansion
        self.expand = pointwise_conv(pointwise, c1, width, act) if expansion > 1 else nn.Identity()
        self.depthwise = depthwise_conv(depthwise, width, stride, act)
        self.project = pointwise_conv(pointwise, width, c2, False)
        self.adds = stride == 1 and c1 == c2

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, c1, H, W) to (B, c2, ceil(H/stride), ceil(W/stride))."""
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds else y
