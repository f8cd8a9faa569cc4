"""DSConv, dynamic snake convolution: a line of taps, each moved sideways from where the one before it stands.

Paper: Y. Qi et al., "Dynamic Snake Convolution based on Topological Geometric Constraints for Tubular Structure
Segmentation", ICCV 2023, arXiv 2307.08388.

    y[b, :, i, j] = ReLU(GN(bias + sum over n of W[n] x(p[n]))),    d = tanh(GN(conv(x))),    c = K // 2
    along x:  p[n] = (i*s + scope * sum of d[m] for the taps m from beside c out to n, j*s + n - c)
    along y:  the same with rows and columns exchanged, and the other K channels of d

Deviations of the released code: this follows its later version; the earlier one samples the first image for the whole
batch and never moves the end taps. The later one has no stride, cannot have an even K (its sums run past the last
tap), and holds kernels for both axes though it uses one. Here positions step by the stride; taps are always one pixel
apart, and an even K has its extra tap before the centre; only kernels in use are there; and where c2 // 4 groups do
not divide c2, the output's GN has the next smaller number of groups that does.
"""

import functools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from akyolo.checks import check_act, check_choice, check_positive, check_whole
from akyolo.layers import ColumnConv
from akyolo.registry import register
from akyolo.sampling import converted, kernel_positions, memory_format, sampled_conv, sampling_format

AXES = {"x": ("x",), "y": ("y",), "both": ("x", "y"), "alternate": ("x",)}
CHANNELS_PER_GROUP = 4


def snake_positions(offset: Tensor, axis: str, stride: int = 1, extend_scope: float = 1.0) -> Tensor:
    """Where a snake's taps stand: straight along one axis, a running sum across it (arXiv 2307.08388, section 3.1).

    Args:
        offset: (B, 2K, h, w), K rows (y) then K columns (x), in pixels; the half along the axis, and the centre tap
            K // 2, are not used.
        axis: along which the kernel lies, `x` or `y`.
        stride: pixels of the input between neighbouring outputs.
        extend_scope: what the sums are multiplied by.

    Returns:
        (B, K, h, w, 2) in pixels (y, x), in at least float32.

    Raises:
        RowError: another axis.
    """
    check_choice(("x", "y"), axis=axis)
    y, x = offset.to(torch.promote_types(offset.dtype, torch.float32)).chunk(2, dim=1)
    k = y.shape[1]
    line = [float(n - k // 2) for n in range(k)]
    if axis == "x":
        moved, taps = (_outward_sum(y) * extend_scope, torch.zeros_like(x)), [(0.0, n) for n in line]
    else:
        moved, taps = (torch.zeros_like(y), _outward_sum(x) * extend_scope), [(n, 0.0) for n in line]
    return kernel_positions(torch.cat(moved, dim=1), taps, stride)


def _outward_sum(steps: Tensor) -> Tensor:
    """Running sums over the taps (B, K, h, w) from beside the centre to either end; the centre itself is 0."""
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
    """Convolve `x` with the taps of one snake; beyond the border lies its nearest pixel.

    Source: arXiv 2307.08388, section 3.1.

    Args:
        x: (B, C, H, W), floating point.
        offset: (B, 2K, h, w) with h = ceil(H/stride), as `snake_positions` takes it.
        weight: (O, C, K, 1).
        bias: (O,) or None.
        axis: along which the kernel lies, `x` or `y`.
        stride: pixels of x between neighbouring outputs.
        extend_scope: what the sums of offsets are multiplied by.

    Returns:
        (B, O, h, w) in the dtype and memory format of x.

    Raises:
        RowError: another axis.

    Example:
        >>> import torch
        >>> from akyolo import dsconv
        >>> x, weight = torch.ones(1, 3, 8, 10), torch.ones(4, 3, 5, 1)
        >>> dsconv(x, torch.zeros(1, 10, 8, 10), weight, axis="y")[0, :, 0, 0]
        tensor([15., 15., 15., 15.])
    """
    positions = snake_positions(offset, axis, stride, extend_scope)
    return sampled_conv(x, positions, weight, padding_mode="border", bias=bias)


@register()
class DSConv(nn.Module):
    """A kernel that lies along x or y like a snake, for thin and winding things: offsets add up from tap to tap.

    Parameters: (c1*kernel_size + 1)*c2*(1 + (axis == "both")) + 2*c2 + (9*c1 + 3)*2*kernel_size: the snakes with bias,
        their GN, the offsets' convolution with its GN (for both axes, whichever is used).

    Args:
        c1: input channels.
        c2: output channels.
        kernel_size: number of taps K, at least 1.
        stride: pixels of the input between neighbouring outputs; output height is ceil(H/stride).
        axis: along which the kernel lies: `x`, `y`, `both` (the sum of two snakes), or `alternate`: x and y by turns
            over those layers of a model that have it, x first; alone it is x.
        extend_scope: what the sums of offsets, each in (-1, 1), are multiplied by.
        act: true for ReLU, as released, but in a model YAML for the model's activation, as for a Conv; false for none;
            or a module.

    Raises:
        RowError: an argument that no kernel can have.

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
        """Lie along x for an even turn, along y for an odd one; false, and nothing, unless axis is `alternate`.

        The kernel's name in a state dict says its axis, so that weights do not fit a kernel along the other.
        """
        if self.axis != "alternate":
            return False
        (snake,) = self.snakes.values()
        self.snakes = nn.ModuleDict({"xy"[number % 2]: snake})
        return True

    def offset(self, x: Tensor) -> Tensor:
        """(B, c1, H, W) to (B, 2K, h, w) in (-1, 1): K rows (y) then K columns (x), in at least float32."""
        normed = self.offset_norm(self.offset_conv(x))
        return normed.to(torch.promote_types(normed.dtype, torch.float32)).tanh()

    def raw(self, x: Tensor) -> Tensor:
        """(B, c1, H, W) to (B, c2, h, w) in the memory format of x, before normalisation and activation."""
        seen = sampling_format(x)  # one conversion for both the offsets and the samples
        offset = self.offset(seen)
        how = {"stride": self.stride, "extend_scope": self.extend_scope}
        snakes = (conv(seen, dsconv, offset, axis=axis, **how) for axis, conv in self.snakes.items())
        return converted(functools.reduce(torch.add, snakes), memory_format(x))

    def forward(self, x: Tensor) -> Tensor:
        """(B, c1, H, W) to (B, c2, ceil(H/stride), ceil(W/stride)), in the memory format of x."""
        # on CUDA a GroupNorm returns contiguous_format whatever it was given
        return self.act(converted(self.norm(self.raw(x)), memory_format(x)))

    def offset_parameters(self) -> Iterator[nn.Parameter]:
        """What the training argument `offset_lr` scales."""
        yield from self.offset_conv.parameters()
        yield from self.offset_norm.parameters()


def _groups(channels: int) -> int:
    """The largest number of groups of equal size, of at least four channels each where there are as many."""
    most = max(1, channels // CHANNELS_PER_GROUP)
    return max(groups for groups in range(1, most + 1) if channels % groups == 0)
