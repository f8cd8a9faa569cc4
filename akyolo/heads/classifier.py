"""Classifier: the head of ResNet and MobileNet-V2.

Paper: K. He et al., "Deep Residual Learning for Image Recognition", arXiv 1512.03385.

It has global average pooling and one linear layer. Upstream's Classify has a 1x1 convolution to 1280 channels before.
"""

from torch import nn

from akyolo.checks import check_whole
from akyolo.registry import register
from akyolo.upstream_blocks import Classify


@register(stands_in="Classify")
class Classifier(Classify):
    """A classifier: pooling and one linear layer.

    The output is the logits in training, (probabilities, logits) in evaluation, and the probabilities in export.

    Parameters: (c1 + 1)*nc: weights and biases.

    Args:
        c1: channels of the feature map.
        nc: number of classes.

    Raises:
        RowError: no positive number of classes.
    """

    def __init__(self, c1: int, nc: int) -> None:
        """Build the layers."""
        nn.Module.__init__(self)  # that of Classify would build its convolution
        check_whole(nc=nc)
        self.conv = nn.Identity()  # Classify calls it first
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(0.0)  # the training argument `dropout` sets it
        self.linear = nn.Linear(c1, nc)
