"""IrregularConv: a convolution whose taps stand where training puts them, the same for every input.

Paper: J. Ma, W. Wang and L. Wang, "Irregular Convolutional Neural Networks" (ICNN), arXiv 1706.07966.

    y[b, o, i, j] = sum over c, n of W[o, c, n] x[b, c](p[c, n]),    p[c, n] = (i*s, j*s) + positions[c, n]

with bilinear x(p), zeros outside (eq. 3 and 4). As positions know nothing of the input, the operator is a plain
convolution: the bilinear weights of each tap, written onto the integer grid, make a kernel that reaches as far as the
taps (`dense_kernel`). It needs no gathered pixels, neither in time nor in memory, and runs wherever a convolution runs.
Where taps have moved so far apart that this kernel would be nearly empty, they are sampled.

Positions start beside the integers, at the regular grid + epsilon (eq. 5), and one step moves them by no more than to
the next pixels (eq. 7, `clamped_step`). Our trainers see to that after the step; under others it is done in the next
forward pass in training, until which an average of the parameter and a checkpoint hold what the optimizer proposed.

Deviations of the released code: no release is known; the paper leaves even kernels open, `regular_grid` centres them.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from akyolo.checks import Numbers, check_flag, check_number, check_whole
from akyolo.layers import OperatorConv
from akyolo.registry import checkpoint_class, register
from akyolo.sampling import converted, kernel_positions, memory_format, mix, regular_grid, sample

MAP_LIMIT = 1 << 15  # pixels: further from the kernel's centre lies no map
DENSE_PIXELS = 32  # of the dense kernel per tap; with more of them sampling is the faster, as measured on a CPU


def irregular_conv(x: Tensor, positions: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1) -> Tensor:
    """Convolve each channel of `x` with taps at its own positions (arXiv 1706.07966, eq. 3 and 4).

    Args:
        x: (B, C, H, W), floating point.
        positions: (C, N, 2), or (1, N, 2) or (N, 2) for one shape of all channels: row y then column x, in pixels of x
            relative to the output position times the stride. They, and the kernel made of them, are kept in at least
            float32.
        weight: (O, C, k, k) with k*k = N; tap n = u*k + v.
        bias: (O,) or None.
        stride: pixels of x between neighbouring outputs.

    Returns:
        (B, O, h, w) with h = ceil(H/stride), in the dtype and memory format of x. The slope with respect to a position
        is that to its right (eq. 6). A position that is not finite gives NaN.

    Example:
        >>> import torch
        >>> from akyolo import irregular_conv
        >>> x, positions = torch.arange(12.0).reshape(1, 1, 3, 4), torch.tensor([[0.5, 0.0]])
        >>> irregular_conv(x, positions, torch.ones(1, 1, 1, 1))[0, 0]  # between each pixel and the one below
        tensor([[2.0000, 3.0000, 4.0000, 5.0000],
                [6.0000, 7.0000, 8.0000, 9.0000],
                [4.0000, 4.5000, 5.0000, 5.5000]])
    """
    before, after = _reach(positions, *x.shape[-2:])
    pixels = math.prod(b + 1 + a for b, a in zip(before, after, strict=True))
    if pixels > DENSE_PIXELS * positions.shape[-2]:
        return converted(_by_sampling(x, positions, weight, bias, stride), memory_format(x))
    kernel = dense_kernel(positions, weight, before, after).to(x.dtype)
    seen = F.pad(x, (before[1], after[1], before[0], after[0]))
    y = F.conv2d(seen, kernel, None if bias is None else bias.to(x.dtype), stride)
    return converted(y, memory_format(x))


def _by_sampling(x: Tensor, positions: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """Look at every channel of every image in its own places, however far they lie apart."""
    b, c, *size = x.shape
    h, w = ((length - 1) // stride + 1 for length in size)
    offset = rearrange(positions, "... n yx -> ... (yx n) 1 1").expand(c, -1, h, w)
    places = kernel_positions(offset, [(0.0, 0.0)] * positions.shape[-2], stride).repeat(b, 1, 1, 1, 1)
    seen = sample(rearrange(x, "b c h w -> (b c) 1 h w"), places)
    return mix(rearrange(seen, "(b c) 1 n h w -> b c n h w", c=c), rearrange(weight, "o c u v -> o c (u v) 1"), bias)


def dense_kernel(positions: Tensor, weight: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor:
    """The kernel of the plain convolution: each tap's weight, shared out to the four pixels around its position.

    Args:
        positions: (C, N, 2), (1, N, 2) or (N, 2), row y then column x, in pixels.
        weight: (O, C, k, k) with k*k = N.
        before: pixels (y, x) that the kernel reaches above and left of its centre; what lies beyond is cut off.
        after: the same below and right.

    Returns:
        (O, C, U, V) with U, V = before + 1 + after, in at least float32.
    """
    dtype = torch.promote_types(torch.promote_types(weight.dtype, positions.dtype), torch.float32)
    with torch.autocast(positions.device.type, enabled=False):
        rows, columns = (
            _on_pixels(p, -first, last)
            for p, first, last in zip(positions.to(dtype).unbind(-1), before, after, strict=True)
        )
        shares = rearrange(rows.unsqueeze(-1) * columns.unsqueeze(-2), "... n u v -> ... n (u v)")
        kernel = rearrange(weight.to(dtype), "o c u v -> c o (u v)") @ shares
    return rearrange(kernel, "c o (u v) -> o c u v", u=rows.shape[-1]).contiguous()


def _on_pixels(p: Tensor, first: int, last: int) -> Tensor:
    """The bilinear weights of positions p (..., N) on one axis, for the pixels first..last: (..., N, pixels)."""
    pixels = torch.arange(first, last + 1, device=p.device, dtype=p.dtype)
    left = p.detach().floor().unsqueeze(-1)
    right_weight = p.unsqueeze(-1) - left
    return (1 - right_weight) * (pixels == left) + right_weight * (pixels == left + 1)


def _reach(positions: Tensor, height: int, width: int) -> tuple[list[int], list[int]]:
    """Pixels (y, x) from the kernel's centre to its first and last row and column; a tap off the map counts not."""
    left = positions.detach().floor().float().reshape(-1, 2)
    # a captured graph is for maps of any size
    limit = left.new_tensor((MAP_LIMIT, MAP_LIMIT) if torch.jit.is_tracing() else (height - 1, width - 1))
    seeing = ((left >= -limit - 1) & (left <= limit)).all(-1, keepdim=True)
    left = torch.where(seeing, left, 0)
    ends = torch.stack((-left.amin(0), left.amax(0) + 1)).clamp(min=0)
    before, after = ends.int().tolist()
    return before, after


def clamped_step(new: Tensor, last: Tensor, epsilon: float) -> Tensor:
    """Positions after one step, held to the pixels around the last ones (arXiv 1706.07966, eq. 7).

    Args:
        new: positions as the optimizer proposes them, in pixels, any shape.
        last: the positions that were used last, of the same shape.
        epsilon: how far beyond those pixels, in pixels.

    Returns:
        `new`, no less than floor(last) - epsilon and no more than ceil(last) + epsilon; what is not finite is NaN.
    """
    return (new + new * 0).clamp(last.floor() - epsilon, last.ceil() + epsilon)


@checkpoint_class
class IrregularLayer(nn.Conv2d):
    """`irregular_conv` with its weight, (c2, c1, k, k) without bias: a convolution for profilers and `fuse()`."""

    def __init__(self, c1: int, c2: int, kernel_size: int, stride: int) -> None:
        super().__init__(c1, c2, kernel_size, stride, bias=False)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # type: ignore[override]
        """(B, c1, H, W) and (c1 or 1, k*k, 2) to (B, c2, h, w)."""
        return irregular_conv(x, positions, self.weight, self.bias, self.stride[0])


@register()
class IrregularConv(OperatorConv):
    """Each input channel has its own kernel shape, which is learned beside the weights and still after training.

    The training argument `offset_lr` multiplies the rate of the positions. The paper has them learn at 50 beside 0.001
    for the weights, by SGD: `offset_lr=50000`. Adam's steps have the size of the rate, so there `offset_lr` times the
    rate is what a step may move a tap, in pixels. The weight of a plain k x k convolution fits `conv.weight`.

    Parameters: c1*c2*kernel_size**2 + 2*c2 + (1 if shared else c1)*2*kernel_size**2: the weights, BN, the positions.

    Args:
        c1: input channels.
        c2: output channels.
        kernel_size: side k of the regular grid at which k*k taps start.
        stride: pixels of the input between neighbouring outputs; output height is ceil(H/stride).
        shared: one shape for all input channels.
        epsilon: pixels by which positions start beside the grid, and may pass the next pixels in one step.
        act: as in upstream's Conv: true for the model's activation, false for none, or a module.

    Raises:
        RowError: an argument that no kernel can have.

    Example:
        >>> import torch
        >>> from akyolo import IrregularConv
        >>> IrregularConv(3, 8, 3, 2)(torch.rand(2, 3, 32, 40)).shape
        torch.Size([2, 8, 16, 20])
    """

    last_positions: Tensor | None

    def __init__(
        self,
        c1: int,
        c2: int,
        kernel_size: int,
        stride: int = 1,
        shared: bool = False,
        epsilon: float = 0.1,
        act: bool | nn.Module = True,
    ) -> None:
        check_whole(kernel_size=kernel_size, stride=stride)
        check_flag(shared=shared)
        check_number(f"epsilon={epsilon!r}", epsilon, Numbers(above=0, below=0.5))
        super().__init__(c1, c2, IrregularLayer(c1, c2, kernel_size, stride), act)
        self.epsilon = epsilon
        self.positions = nn.Parameter(torch.empty(1 if shared else c1, kernel_size**2, 2))
        # no weights, so in no state dict; a buffer, so that it follows the positions to their device and dtype
        self.register_buffer("last_positions", None, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The regular grid + epsilon (eq. 5); upstream calls this for `pretrained=False`."""
        grid = torch.tensor(regular_grid(self.conv.kernel_size[0])) + self.epsilon
        with torch.no_grad():
            self.positions.copy_(grid.expand_as(self.positions))
        self.last_positions = None

    def raw(self, x: Tensor) -> Tensor:
        """The irregular convolution alone, before BN and activation."""
        if self.training:
            self.after_step()
            self.last_positions = self.positions.detach().clone()
        return self.conv(x, self.positions)

    @torch.no_grad()
    def after_step(self) -> None:
        """Eq. 7 against the last pass in training; without a step since then, as in accumulation, nothing changes.

        The graph of that pass keeps no positions, only what was made of them: writing here leaves its gradients right.
        """
        if self.last_positions is not None:
            self.positions.copy_(clamped_step(self.positions, self.last_positions, self.epsilon))

    def offset_parameters(self) -> Iterator[nn.Parameter]:
        """What the training argument `offset_lr` scales."""
        yield self.positions

    def undecayed_parameters(self) -> Iterator[nn.Parameter]:
        """Decay would pull all taps to the centre."""
        yield self.positions

    def __getstate__(self) -> dict[str, Any]:
        """A copy or a checkpoint has used no positions yet."""
        return {**self.__dict__, "_buffers": {**self._buffers, "last_positions": None}}

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        """Positions that are loaded are no step from those used last."""
        self.last_positions = None
        super()._load_from_state_dict(state_dict, prefix, *args)
