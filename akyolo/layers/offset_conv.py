"""Layers that compute offsets."""

from torch import Tensor, nn

from akyolo.registry import checkpoint_class
from akyolo.sampling.positions import pad_if_even


@checkpoint_class
class OffsetConv(nn.Conv2d):
    """A convolution whose weight is initialised to zero.

    At the start the offsets of a tap are the same at all output positions. An even kernel has its extra tap below and
    right, as in `regular_grid`.

    Args:
        c1: input channels.
        c2: output channels: one for each coordinate of an offset, in pixels of what is sampled.
        stride: pixels of the input between neighbouring outputs.
        kernel_size: height and width of the kernel.
        dilation: pixels of the input between neighbouring taps.

    Example:
        >>> import torch
        >>> from akyolo.layers import OffsetConv
        >>> OffsetConv(3, 10, stride=2)(torch.rand(1, 3, 9, 14)).shape
        torch.Size([1, 10, 5, 7])
    """

    def __init__(self, c1: int, c2: int, stride: int = 1, kernel_size: int = 3, dilation: int = 1) -> None:
        """Build the layer."""
        super().__init__(c1, c2, kernel_size, stride, dilation * (kernel_size - 1) // 2, dilation)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the offsets.

        Args:
            x: (B, c1, H, W), floating point.

        Returns:
            (B, c2, ceil(H/stride), ceil(W/stride)).
        """
        return super().forward(pad_if_even(x, self.kernel_size[0], self.dilation[0]))

    def reset_parameters(self) -> None:
        """Initialise the bias as PyTorch does, the weight to zero.

        With `pretrained=False` upstream calls this on every layer after the operator is built.
        """
        super().reset_parameters()
        nn.init.zeros_(self.weight)


@checkpoint_class
class ZeroConv(OffsetConv):
    """An OffsetConv whose offsets all start at zero.

    Its bias is initialised to zero too.
    """

    def reset_parameters(self) -> None:
        """Initialise weight and bias to zero."""
        super().reset_parameters()
        assert self.bias is not None
        nn.init.zeros_(self.bias)


@checkpoint_class
class ZeroLinear(nn.Linear):
    """A linear layer that is initialised to zero.

    All offsets start at zero.
    """

    def reset_parameters(self) -> None:
        """Initialise weight and bias to zero."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
