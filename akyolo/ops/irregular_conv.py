"""IrregularConv: learned tap positions, the same for every input.

Paper: J. Ma, W. Wang and L. Wang, "Irregular Convolutional Neural Networks" (ICNN), arXiv 1706.07966.

    y[b, o, i, j] = sum over c, n of W[o, c, n] x[b, c](p[c, n]),    p[c, n] = (i*s, j*s) + positions[c, n]

with bilinear x(p), zeros outside (eq. 3 and 4). The positions do not depend on the input, so the operator is a plain
convolution: the weight of each tap, distributed to the four pixels around its position, gives a kernel that contains
all taps (`dense_kernel`). It samples nothing, which saves time and memory, and it runs wherever a convolution runs. If
the taps are so far apart that this kernel would be nearly empty, they are sampled instead.

Positions are initialised off the integers, at the regular grid + epsilon (eq. 5). One optimizer step moves them at most
to the next pixels (eq. 7, `clamped_step`). Our trainers apply this after the step. Under other trainers it is applied
in the next forward pass in training; until then a moving average of the parameter and a checkpoint hold the positions
that the optimizer proposed.

Deviations of the released code: no release is known. The paper does not define even kernels; `regular_grid` centres
them.
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
from akyolo.sampling import keeps_memory_format, kernel_positions, mix, regular_grid, sample

MAP_LIMIT = 1 << 15  # pixels: no feature map reaches further from the centre of a kernel
DENSE_PIXELS = 32  # of the dense kernel per tap; with more of them sampling is faster, as measured on a CPU


@keeps_memory_format()
def irregular_conv(x: Tensor, positions: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1) -> Tensor:
    """Convolve each channel of `x` with taps at its own positions.

    Args:
        x: (B, C, H, W), floating point.
        positions: (C, N, 2), or (1, N, 2) or (N, 2) for one shape of all channels: row y then column x, in pixels of x
            relative to the output position times the stride. The positions and the kernel made of them stay in at least
            float32.
        weight: (O, C, k, k) with k*k = N; tap n = u*k + v.
        bias: (O,) or None.
        stride: pixels of x between neighbouring outputs.

    Returns:
        (B, O, h, w) with h = ceil(H/stride), in the dtype and memory format of x. The gradient at integer positions is
        the right-hand derivative (eq. 6). A position that is not finite gives NaN.

    Example:
        >>> import torch
        >>> from akyolo import irregular_conv
        >>> x, positions = torch.arange(12.0).reshape(1, 1, 3, 4), torch.tensor([[0.5, 0.0]])
        >>> irregular_conv(x, positions, torch.ones(1, 1, 1, 1))[0, 0]  # between each pixel and the one below
        tensor([[2.0000, 3.0000, 4.0000, 5.0000],
                [6.0000, 7.0000, 8.0000, 9.0000],
                [4.0000, 4.5000, 5.0000, 5.5000]])

    Source: arXiv 1706.07966, eq. 3 and 4.
    """
    before, after = _reach(positions, *x.shape[-2:])
    pixels = math.prod(b + 1 + a for b, a in zip(before, after, strict=True))
    if pixels > DENSE_PIXELS * positions.shape[-2]:
        return _convolve_samples(x, positions, weight, bias, stride)
    kernel = dense_kernel(positions, weight, before, after).to(x.dtype)
    padded = F.pad(x, (before[1], after[1], before[0], after[0]))
    return F.conv2d(padded, kernel, None if bias is None else bias.to(x.dtype), stride)


def _convolve_samples(x: Tensor, positions: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """Sample each channel at its own positions and mix."""
    b, c, *size = x.shape
    h, w = ((length - 1) // stride + 1 for length in size)
    offset = rearrange(positions, "... n yx -> ... (yx n) 1 1").expand(c, -1, h, w)
    absolute = kernel_positions(offset, [(0.0, 0.0)] * positions.shape[-2], stride).repeat(b, 1, 1, 1, 1)
    samples = sample(rearrange(x, "b c h w -> (b c) 1 h w"), absolute)
    columns = rearrange(weight, "o c u v -> o c (u v) 1")
    return mix(rearrange(samples, "(b c) 1 n h w -> b c n h w", c=c), columns, bias)


def dense_kernel(positions: Tensor, weight: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor:
    """Return the kernel of the equal plain convolution.

    The weight of each tap is distributed to the four pixels around its position.

    Args:
        positions: (C, N, 2), (1, N, 2) or (N, 2), row y then column x, in pixels.
        weight: (O, C, k, k) with k*k = N.
        before: pixels (y, x) of the kernel above and left of its centre; taps beyond are left out.
        after: the same below and right.

    Returns:
        (O, C, U, V) with U, V = before + 1 + after, in at least float32: the kernel of a plain convolution.

    Example:
        >>> import torch
        >>> from akyolo.ops.irregular_conv import dense_kernel
        >>> dense_kernel(torch.tensor([[0.25, 0.0]]), torch.ones(1, 1, 1, 1), (0, 0), (1, 0))[0, 0]
        tensor([[0.7500],
                [0.2500]])
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
    """Return bilinear weights on one axis.

    Args:
        p: positions (..., N).
        first: the first pixel.
        last: the last pixel.

    Returns:
        (..., N, pixels), for the pixels first..last.
    """
    pixels = torch.arange(first, last + 1, device=p.device, dtype=p.dtype)
    left = p.detach().floor().unsqueeze(-1)
    right_weight = p.unsqueeze(-1) - left
    return (1 - right_weight) * (pixels == left) + right_weight * (pixels == left + 1)


def _reach(positions: Tensor, height: int, width: int) -> tuple[list[int], list[int]]:
    """Return how far the taps reach, in pixels (y, x).

    The first pair is above and left of the centre, the second below and right.

    Taps that are outside of every position of the map are left out.
    """
    left = positions.detach().floor().float().reshape(-1, 2)
    # a captured graph must hold for maps of any size
    limit = left.new_tensor((MAP_LIMIT, MAP_LIMIT) if torch.jit.is_tracing() else (height - 1, width - 1))
    within_map = ((left >= -limit - 1) & (left <= limit)).all(-1, keepdim=True)
    left = torch.where(within_map, left, 0)
    ends = torch.stack((-left.amin(0), left.amax(0) + 1)).clamp(min=0)
    before, after = ends.int().tolist()
    return before, after


def clamped_step(new: Tensor, last: Tensor, epsilon: float) -> Tensor:
    """Clamp positions to the pixels around the last ones.

    Args:
        new: positions as the optimizer proposes them, in pixels, any shape.
        last: the positions that were used last, of the same shape.
        epsilon: pixels by which a position may pass those pixels.

    Returns:
        `new`, clamped to [floor(last) - epsilon, ceil(last) + epsilon]; what is not finite becomes NaN.

    Example:
        >>> import torch
        >>> from akyolo.ops.irregular_conv import clamped_step
        >>> clamped_step(torch.tensor([0.5, 7.0]), torch.tensor([0.1, 0.1]), 0.1)
        tensor([0.5000, 1.1000])

    Source: arXiv 1706.07966, eq. 7.
    """
    return (new + new * 0).clamp(last.floor() - epsilon, last.ceil() + epsilon)


@checkpoint_class
class IrregularLayer(nn.Conv2d):
    """Hold the weight of `irregular_conv` as a convolution.

    It is (c2, c1, k, k), without bias.

    So profilers count it, and `fuse()` can fold a BN into it.

    Args:
        c1: input channels.
        c2: output channels.
        kernel_size: side k of the regular grid.
        stride: pixels of the input between neighbouring outputs.
    """

    def __init__(self, c1: int, c2: int, kernel_size: int, stride: int) -> None:
        """Build the layer."""
        super().__init__(c1, c2, kernel_size, stride, bias=False)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # type: ignore[override]
        """Convolve x with taps at the positions.

        Args:
            x: (B, c1, H, W), floating point.
            positions: (c1 or 1, k*k, 2), row y then column x, in pixels.

        Returns:
            (B, c2, h, w).
        """
        return irregular_conv(x, positions, self.weight, self.bias, self.stride[0])


@register()
class IrregularConv(OperatorConv):
    """A convolution that learns its shape for each channel.

    After training the shapes are fixed. The training argument `offset_lr` multiplies the learning rate of the
    positions. The paper trains them with SGD at 50, and the weights at 0.001: `offset_lr=50000`. A step of Adam has the
    size of the learning rate; with Adam, the learning rate times `offset_lr` is the number of pixels by which a step
    may move a tap. The weight of a plain k x k convolution fits `conv.weight`.

    Parameters: c1*c2*kernel_size**2 + 2*c2 + (1 if shared else c1)*2*kernel_size**2: weights, BN, positions.

    Args:
        c1: input channels.
        c2: output channels.
        kernel_size: side k of the regular grid at which k*k taps start.
        stride: pixels of the input between neighbouring outputs; output height is ceil(H/stride).
        shared: whether all input channels have the same shape.
        epsilon: pixels from the grid to the initial positions, and by which a step may pass the next pixels; in
            (0, 0.5).
        act: as in Ultralytics' Conv: true for the model's activation, false for none, or a module.

    Raises:
        RowError: an argument is out of range.

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
        """Check the arguments and build the layers."""
        check_whole(kernel_size=kernel_size, stride=stride)
        check_flag(shared=shared)
        check_number(f"epsilon={epsilon!r}", epsilon, Numbers(above=0, below=0.5))
        super().__init__(c1, c2, IrregularLayer(c1, c2, kernel_size, stride), act)
        self.epsilon = epsilon
        self.positions = nn.Parameter(torch.empty(1 if shared else c1, kernel_size**2, 2))
        # a buffer follows the positions to their device and dtype; a state dict holds weights only
        self.register_buffer("last_positions", None, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise the positions to the regular grid + epsilon (eq. 5).

        With `pretrained=False` upstream calls this on every layer.
        """
        grid = torch.tensor(regular_grid(self.conv.kernel_size[0])) + self.epsilon
        with torch.no_grad():
            self.positions.copy_(grid.expand_as(self.positions))
        self.last_positions = None

    def raw(self, x: Tensor) -> Tensor:
        """Apply the operator alone, before BN and activation.

        Args:
            x: (B, c1, H, W), floating point.

        Returns:
            (B, c2, ceil(H/stride), ceil(W/stride)).
        """
        if self.training:
            self.after_step()
            self.last_positions = self.positions.detach().clone()
        return self.conv(x, self.positions)

    @torch.no_grad()
    def after_step(self) -> None:
        """Clamp the positions after an optimizer step (eq. 7).

        The bounds come from the positions of the last forward pass in training.

        Without a step since then, as when gradients are accumulated, nothing changes. The graph of that pass saves no
        positions, only values computed from them, so writing here leaves its gradients correct.
        """
        if self.last_positions is not None:
            self.positions.copy_(clamped_step(self.positions, self.last_positions, self.epsilon))

    def offset_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters whose learning rate `offset_lr` multiplies."""
        yield self.positions

    def undecayed_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters without weight decay.

        Weight decay would pull all taps to the centre.
        """
        yield self.positions

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the last positions.

        A copy has not used any positions yet.
        """
        return {**self.__dict__, "_buffers": {**self._buffers, "last_positions": None}}

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        """Load the weights.

        Loaded positions are not the result of an optimizer step, so they are not clamped.
        """
        self.last_positions = None
        super()._load_from_state_dict(state_dict, prefix, *args)
