"""Classifier: global average pooling and one linear layer, the head of ResNet and MobileNet-V2.

Paper: K. He et al., "Deep Residual Learning for Image Recognition", arXiv 1512.03385.

Upstream's own Classify puts a 1x1 convolution to 1280 channels before them.
"""

from torch import nn

from akyolo.checks import check_whole
from akyolo.registry import register
from akyolo.upstream_blocks import Classify


@register(stands_in="Classify")
class Classifier(Classify):
    """Class scores of an image: logits in training; else (probabilities, logits), in export the probabilities.

    Parameters: (c1 + 1)*nc: weights and biases.

    Args:
        c1: channels of the feature map.
        nc: number of classes.

    Raises:
        RowError: no positive number of classes.
    """

    def __init__(self, c1: int, nc: int) -> None:
        nn.Module.__init__(self)  # Classify's own would build its convolution
        check_whole(nc=nc)
        self.conv = nn.Identity()  # where Classify looks first
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(0.0)  # the training argument `dropout` sets it
        self.linear = nn.Linear(c1, nc)
