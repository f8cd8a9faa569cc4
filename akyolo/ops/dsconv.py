"""DSConv, dynamic snake convolution: a line of taps that bends.

Paper: Y. Qi et al., "Dynamic Snake Convolution based on Topological Geometric Constraints for Tubular Structure
Segmentation", ICCV 2023, arXiv 2307.08388.

    y[b, :, i, j] = ReLU(GN(bias + sum over n of W[n] x(p[n]))),    d = tanh(GN(conv(x))),    c = K // 2
    along x:  p[n] = (i*s + scope * sum of d[m] over the taps m from next to c to n, j*s + n - c)
    along y:  the same with rows and columns exchanged, and the other K channels of d

Deviations of the released code: this follows its later version; the earlier version samples the first image for the
whole batch and never moves the end taps. The later version has no stride, allows no even K (its sums run past the last
tap), and holds kernels for both axes but uses one. Here positions step by the stride, taps are always one pixel apart,
an even K has its extra tap before the centre, and there are no unused kernels. If c2 // 4 groups do not divide c2, the
GN of the output has the next smaller number of groups that does.
"""

import functools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from akyolo.checks import check_act, check_choice, check_positive, check_whole
from akyolo.layers import ColumnConv
from akyolo.registry import register
from akyolo.sampling import call_in_sampling_format, kernel_positions, sampled_conv

AXES = {"x": ("x",), "y": ("y",), "both": ("x", "y"), "alternate": ("x",)}
CHANNELS_PER_GROUP = 4


def snake_positions(offset: Tensor, axis: str, stride: int = 1, extend_scope: float = 1.0) -> Tensor:
    """Return the positions of a snake's taps.

    Along its axis the taps are one pixel apart; across it their offsets are cumulative sums.

    Args:
        offset: (B, 2K, h, w), K rows (y) then K columns (x), in pixels. The half along the axis and the centre tap
            K // 2 are not used.
        axis: the axis along which the kernel lies, `x` or `y`.
        stride: pixels of the input between neighbouring outputs.
        extend_scope: factor of the sums.

    Returns:
        (B, K, h, w, 2) in pixels (y, x), in at least float32.

    Raises:
        RowError: the axis is neither `x` nor `y`.

    Example:
        >>> import torch
        >>> from akyolo.ops.dsconv import snake_positions
        >>> snake_positions(torch.ones(1, 6, 1, 1), "x")[0, :, 0, 0]  # one pixel down on both sides of the centre
        tensor([[ 1., -1.],
                [ 0.,  0.],
                [ 1.,  1.]])

    Source: arXiv 2307.08388, section 3.1.
    """
    check_choice(("x", "y"), axis=axis)
    y, x = offset.to(torch.promote_types(offset.dtype, torch.float32)).chunk(2, dim=1)
    k = y.shape[1]
    line = [float(n - k // 2) for n in range(k)]
    if axis == "x":
        summed, taps = (_outward_sum(y) * extend_scope, torch.zeros_like(x)), [(0.0, n) for n in line]
    else:
        summed, taps = (torch.zeros_like(y), _outward_sum(x) * extend_scope), [(n, 0.0) for n in line]
    return kernel_positions(torch.cat(summed, dim=1), taps, stride)


def _outward_sum(steps: Tensor) -> Tensor:
    """Return cumulative sums from the centre outwards.

    The steps are (B, K, h, w), K taps.

    The centre itself is 0.
    """
    centre = steps.shape[1] // 2
    before = steps[:, :centre].flip(1).cumsum(1).flip(1)
    return torch.cat((before, torch.zeros_like(steps[:, :1]), steps[:, centre + 1 :].cumsum(1)), dim=1)


def dsconv(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    axis: str = "x",
    stride: int = 1,
    extend_scope: float = 1.0,
) -> Tensor:
    """Convolve `x` with the taps of one snake.

    The value beyond the border is that of the nearest pixel.

    Args:
        x: (B, C, H, W), floating point.
        offset: (B, 2K, h, w) with h = ceil(H/stride), as `snake_positions` takes it.
        weight: (O, C, K, 1).
        bias: (O,) or None.
        axis: the axis along which the kernel lies, `x` or `y`.
        stride: pixels of x between neighbouring outputs.
        extend_scope: factor of the sums of offsets.

    Returns:
        (B, O, h, w) in the dtype and memory format of x.

    Raises:
        RowError: the axis is neither `x` nor `y`.

    Example:
        >>> import torch
        >>> from akyolo import dsconv
        >>> x, weight = torch.ones(1, 3, 8, 10), torch.ones(4, 3, 5, 1)
        >>> dsconv(x, torch.zeros(1, 10, 8, 10), weight, axis="y")[0, :, 0, 0]
        tensor([15., 15., 15., 15.])

    Source: arXiv 2307.08388, section 3.1.
    """
    positions = snake_positions(offset, axis, stride, extend_scope)
    return sampled_conv(x, positions, weight, padding_mode="border", bias=bias)


@register()
class DSConv(nn.Module):
    """A line of taps whose offsets accumulate.

    The line lies along x or y.

    It is made for thin and winding structures.

    Parameters: (c1*kernel_size + 1)*c2*(1 + (axis == "both")) + 2*c2 + (9*c1 + 3)*2*kernel_size: the snakes with bias,
        their GN, the offset convolution with its GN (for both axes, even if one is used).

    Args:
        c1: input channels.
        c2: output channels.
        kernel_size: number of taps K, at least 1.
        stride: pixels of the input between neighbouring outputs; output height is ceil(H/stride).
        axis: the axis along which the kernel lies: `x`, `y`, `both` (the sum of two snakes), or `alternate`. The
            `alternate` layers of a model lie along x and y in turn, x first.
        extend_scope: factor of the sums of offsets, each of which is in (-1, 1).
        act: true for ReLU, as released, but in a model YAML for the model's activation, as for a Conv; false for none;
            or a module.

    Raises:
        RowError: an argument is out of range.

    Example:
        >>> import torch
        >>> from akyolo import DSConv
        >>> DSConv(3, 8, 5, 2, axis="both")(torch.rand(2, 3, 32, 40)).shape
        torch.Size([2, 8, 16, 20])
    """

    def __init__(
        self,
        c1: int,
        c2: int,
        kernel_size: int,
        stride: int = 1,
        axis: str = "alternate",
        extend_scope: float = 1.0,
        act: bool | nn.Module = True,
    ) -> None:
        """Check the arguments and build the layers."""
        check_whole(kernel_size=kernel_size, stride=stride)
        check_choice(AXES, axis=axis)
        check_positive(extend_scope=extend_scope)
        check_act(act)
        super().__init__()
        self.axis, self.stride, self.extend_scope = axis, stride, extend_scope
        self.offset_conv = nn.Conv2d(c1, 2 * kernel_size, 3, stride, 1)
        self.offset_norm = nn.GroupNorm(kernel_size, 2 * kernel_size)  # for odd K one group is half y, half x
        self.snakes = nn.ModuleDict({name: ColumnConv(c1, c2, kernel_size, bias=True) for name in AXES[axis]})
        self.norm = nn.GroupNorm(_groups(c2), c2)
        self.act = act if isinstance(act, nn.Module) else nn.ReLU() if act else nn.Identity()

    def take_turn(self, number: int) -> bool:
        """Set the axis of an `alternate` layer.

        The name of the kernel in a state dict is its axis, so that weights do not fit a kernel along the other axis.

        Args:
            number: how many `alternate` layers come before this one: x if even, y if odd.

        Returns:
            Whether this is an `alternate` layer; another layer is not changed.
        """
        if self.axis != "alternate":
            return False
        (snake,) = self.snakes.values()
        self.snakes = nn.ModuleDict({"xy"[number % 2]: snake})
        return True

    def offset(self, x: Tensor) -> Tensor:
        """Compute the offset of each tap from its inner neighbour.

        Args:
            x: (B, c1, H, W), floating point.

        Returns:
            (B, 2K, h, w) in (-1, 1), in pixels: K rows (y) then K columns (x), in at least float32.
        """
        normalised = self.offset_norm(self.offset_conv(x))
        return normalised.to(torch.promote_types(normalised.dtype, torch.float32)).tanh()

    def raw(self, x: Tensor) -> Tensor:
        """Apply the operator alone, before normalisation and activation.

        Args:
            x: (B, c1, H, W), floating point.

        Returns:
            (B, c2, ceil(H/stride), ceil(W/stride)).
        """
        offset = self.offset(x)
        arguments = {"stride": self.stride, "extend_scope": self.extend_scope}
        snakes = (conv(x, dsconv, offset, axis=axis, **arguments) for axis, conv in self.snakes.items())
        return functools.reduce(torch.add, snakes)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the operator, normalisation and activation.

        Args:
            x: (B, c1, H, W), floating point.

        Returns:
            (B, c2, ceil(H/stride), ceil(W/stride)) in the memory format of x.
        """
        return self.act(call_in_sampling_format(self._normalise, x))

    def _normalise(self, x: Tensor) -> Tensor:
        return self.norm(self.raw(x))

    def offset_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters whose learning rate `offset_lr` multiplies."""
        yield from self.offset_conv.parameters()
        yield from self.offset_norm.parameters()


def _groups(channels: int) -> int:
    """Return the number of groups of the output's GN.

    It is the largest number of equal groups of at least four channels, and 1 for fewer than four channels.
    """
    most = max(1, channels // CHANNELS_PER_GROUP)
    return max(groups for groups in range(1, most + 1) if channels % groups == 0)
