"""The layer with the weights that mix what the taps saw."""

from einops import rearrange
from torch import Tensor, nn

from akyolo.registry import loadable
from akyolo.sampling.sampled_conv import mix


@loadable
class ColumnConv(nn.Conv2d):
    """`mix` with its weight, (c2, c1, N, 1): profilers and `fuse()` know it as the convolution it is.

    It takes taps with the channels third from the last, where profilers look for them.
    """

    def __init__(self, c1: int, c2: int, num_param: int, bias: bool = False) -> None:
        super().__init__(c1, c2, (num_param, 1), (num_param, 1), bias=bias)

    def forward(self, taps: Tensor) -> Tensor:
        """(B, N, c1, h, w) to (B, c2, h, w)."""
        return mix(rearrange(taps, "b n c h w -> b c n h w"), self.weight, self.bias)
