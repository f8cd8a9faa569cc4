"""AKConv: any number of taps at learned positions.

Paper: X. Zhang et al., "AKConv: Convolutional Kernel with Arbitrary Sampled Shapes and Arbitrary Number of
Parameters", arXiv 2311.11587; published later as LDConv (linear deformable convolution), its second name here.

    y[b, :, i, j] = SiLU(BN(sum over n of W[n] x(p[n]))),    p[n] = (i*s, j*s) + shape[n] + offset[n](x)

Deviations of the released code: here pixels beyond the border are zeros (`padding_mode="official"` gives the doubled
border weights of the released code). In the released code the learning rate factor 0.1 of the offsets has no effect;
here it is the training argument `offset_lr`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from akyolo.checks import check_choice, check_flag, check_whole
from akyolo.layers import ColumnConv, OffsetConv, OperatorConv
from akyolo.registry import register
from akyolo.sampling import PADDING_MODES, Shape, captures_a_graph, initial_shape, kernel_positions, sampled_conv

RELEASED_NAMES = {"p_conv.": "offset_conv.", "conv.0.": "conv.", "conv.1.": "bn."}


def akconv(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    shape: Shape | None = None,
    stride: int = 1,
    padding_mode: str = "zeros",
) -> Tensor:
    """Convolve `x` with N taps at an initial shape plus offsets.

    Args:
        x: (B, C, H, W), floating point.
        offset: (B, 2N, h, w) with h = ceil(H/stride): N rows (y) then N columns (x), in pixels of x.
        weight: (O, C, N, 1).
        bias: (O,) or None.
        shape: N points (y, x) in pixels of x, the name of a released shape, or None for Algorithm 1.
        stride: pixels of x between neighbouring outputs.
        padding_mode: `zeros`, `border` or `official`, see `sample`.

    Returns:
        (B, O, h, w) in the dtype and memory format of x.

    Raises:
        RowError: the shape does not have N points, or the padding_mode is unknown.
        ValueError: tensors whose sizes do not fit each other.

    Example:
        >>> import torch
        >>> from akyolo import akconv
        >>> x, weight = torch.ones(1, 3, 8, 10), torch.ones(4, 3, 5, 1)
        >>> akconv(x, torch.zeros(1, 10, 4, 5), weight, stride=2).shape
        torch.Size([1, 4, 4, 5])

    Source: arXiv 2311.11587, section 3.3.
    """
    taps = initial_shape(int(weight.shape[2]), shape)
    if not captures_a_graph() and offset.shape[1] != 2 * len(taps):
        raise ValueError(f"offset must have {2 * len(taps)} channels for {len(taps)} taps, not {offset.shape[1]}")
    positions = kernel_positions(offset, taps, stride)
    return sampled_conv(x, positions, weight, padding_mode=padding_mode, bias=bias)


@register("LDConv")
@register()
class AKConv(OperatorConv):
    """A kernel of N taps with learned offsets.

    The taps start at any initial shape.

    The number of parameters grows linearly with N.

    Parameters: c1*c2*num_param + 2*c2 + (9*c1 + 1)*2*num_param: mixing weights, BN, offset convolution.

    Args:
        c1: input channels.
        c2: output channels.
        num_param: number of taps N, at least 1.
        stride: pixels of the input between neighbouring outputs; output height is ceil(H/stride).
        shape: initial taps: Algorithm 1 by default, a released shape `a`..`e` (N=5), or N points [y, x] in pixels.
        offset: whether to learn offsets; if false, the kernel keeps its initial shape (section 3.3).
        padding_mode: `zeros`, `border` or `official`.
        act: as in Ultralytics' Conv: true for the model's activation, false for none, or a module.

    Raises:
        RowError: an argument is out of range.

    Example:
        >>> import torch
        >>> from akyolo import AKConv
        >>> network = torch.nn.Sequential(AKConv(3, 16, 5, 2), AKConv(16, 8, 4, shape=[[0, 0], [0, 1], [1, 0], [1, 1]]))
        >>> network(torch.rand(2, 3, 32, 40)).shape
        torch.Size([2, 8, 16, 20])
    """

    samples_input = True

    def __init__(
        self,
        c1: int,
        c2: int,
        num_param: int,
        stride: int = 1,
        shape: str | Sequence[Sequence[float]] | None = None,
        offset: bool = True,
        padding_mode: str = "zeros",
        act: bool | nn.Module = True,
    ) -> None:
        """Check the arguments and build the layers."""
        taps = initial_shape(num_param, shape)
        check_whole(stride=stride)
        check_flag(offset=offset)
        check_choice(PADDING_MODES, padding_mode=padding_mode)
        super().__init__(c1, c2, ColumnConv(c1, c2, num_param), act)
        self.shape = taps
        self.stride, self.padding_mode = stride, padding_mode
        self.offset_conv = OffsetConv(c1, 2 * num_param, stride) if offset else None

    def raw(self, x: Tensor) -> Tensor:
        """Apply the operator alone, before BN and activation.

        Args:
            x: (B, c1, H, W), floating point.

        Returns:
            (B, c2, ceil(H/stride), ceil(W/stride)).
        """
        offset = self._zero_offset(x) if self.offset_conv is None else self.offset_conv(x)
        return self.conv(x, akconv, offset, shape=self.shape, stride=self.stride, padding_mode=self.padding_mode)

    def _zero_offset(self, x: Tensor) -> Tensor:
        h, w = ((length - 1) // self.stride + 1 for length in x.shape[-2:])
        return x.new_zeros(x.shape[0], 2 * len(self.shape), h, w)

    def offset_parameters(self) -> Iterator[nn.Parameter]:
        """Return the parameters whose learning rate `offset_lr` multiplies."""
        return iter(()) if self.offset_conv is None else self.offset_conv.parameters()

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        """Load the weights, also under released names.

        The released AKConv and LDConv call some layers by other names.
        """
        for key in [key for key in state_dict if key.startswith(prefix)]:
            name = key.removeprefix(prefix)
            for released, ours in RELEASED_NAMES.items():
                if name.startswith(released):
                    state_dict[prefix + ours + name.removeprefix(released)] = state_dict.pop(key)
        self._check_released_shape(state_dict.pop(prefix + "p_n", None), error_msgs=args[-1])
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _check_released_shape(self, p_n: Tensor | None, error_msgs: list[str]) -> None:
        """Report weights that were trained for another initial shape.

        LDConv stores its shape, (1, 2N, 1, 1), rows then columns.
        """
        if p_n is None:
            return
        taps = rearrange(p_n, "1 (yx n) 1 1 -> n yx", yx=2)
        if not torch.equal(taps.double(), torch.tensor(self.shape, dtype=torch.float64)):
            error_msgs.append(f"the weights were trained for the initial shape {taps.tolist()}, not {self.shape}")
