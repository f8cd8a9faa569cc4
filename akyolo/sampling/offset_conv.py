"""The convolution that says by how much taps move."""

from torch import nn

from akyolo.registry import loadable


@loadable
class OffsetConv(nn.Conv2d):
    """A convolution with bias whose weight starts, and restarts, at zero: at first all positions move alike.

    Its outputs, (B, c2, ceil(H/stride), ceil(W/stride)) for an odd kernel_size, are pixels of what is sampled.
    """

    def __init__(self, c1: int, c2: int, stride: int = 1, kernel_size: int = 3, dilation: int = 1) -> None:
        super().__init__(c1, c2, kernel_size, stride, dilation * (kernel_size // 2), dilation)

    def reset_parameters(self) -> None:
        """Upstream calls this on every layer for `pretrained=False`, after the operator is built."""
        super().reset_parameters()
        nn.init.zeros_(self.weight)
