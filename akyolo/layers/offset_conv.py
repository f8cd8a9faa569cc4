"""The layers that say by how much taps move."""

from torch import Tensor, nn

from akyolo.registry import checkpoint_class
from akyolo.sampling.positions import pad_if_even


@checkpoint_class
class OffsetConv(nn.Conv2d):
    """A convolution with bias whose weight starts, and restarts, at zero: at first all positions move alike.

    Its outputs, (B, c2, ceil(H/stride), ceil(W/stride)), are pixels of what is sampled. It is centred as
    `regular_grid` is: an even kernel has its extra tap below and right.
    """

    def __init__(self, c1: int, c2: int, stride: int = 1, kernel_size: int = 3, dilation: int = 1) -> None:
        super().__init__(c1, c2, kernel_size, stride, dilation * (kernel_size - 1) // 2, dilation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, c1, H, W) to (B, c2, ceil(H/stride), ceil(W/stride))."""
        return super().forward(pad_if_even(x, self.kernel_size[0], self.dilation[0]))

    def reset_parameters(self) -> None:
        """Upstream calls this on every layer for `pretrained=False`, after the operator is built."""
        super().reset_parameters()
        nn.init.zeros_(self.weight)


@checkpoint_class
class ZeroConv(OffsetConv):
    """An OffsetConv whose bias starts, and restarts, at zero too: at first nothing moves."""

    def reset_parameters(self) -> None:
        """As for an OffsetConv."""
        super().reset_parameters()
        assert self.bias is not None
        nn.init.zeros_(self.bias)


@checkpoint_class
class ZeroLinear(nn.Linear):
    """A linear layer that starts, and restarts, at zero: at first nothing moves."""

    def reset_parameters(self) -> None:
        """As for an OffsetConv."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
