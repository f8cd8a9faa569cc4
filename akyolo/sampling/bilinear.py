"""Bilinear sampling at arbitrary positions: one meaning, two realisations.

On a CPU every sample is a weighted bag of four pixels (`embedding_bag`): several times faster than `grid_sample`, and
in pixel coordinates. It keeps its input and its positions for the backward pass, nothing in between. Elsewhere, and
whenever a graph is captured (trace, export, compile), `grid_sample` does the same in normalised coordinates, whose
rounding may take the left-hand slope at exact integers.
"""

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from torch.autograd.function import once_differentiable

from akyolo.checks import check_choice
from akyolo.sampling.memory_formats import converted

PADDING_MODES = ("zeros", "border", "official")


def sampling_format(x: Tensor) -> Tensor:
    """The same map in the memory format that `sample` reads fastest: on a CPU the channels of a pixel side by side."""
    return x if _by_grid(x) else converted(x, torch.channels_last)


def sample(x: Tensor, yx: Tensor, padding_mode: str = "zeros") -> Tensor:
    """Look at `x` in `yx`.

    Args:
        x: (B, C, H, W), floating point.
        yx: (B, N, h, w, 2), row y then column x, in pixels of x; pixel centres at integers.
        padding_mode: what lies outside: `zeros`; `border`, the nearest pixel; or `official`, the released AKConv,
            which counts the nearest pixel twice for every axis on which a position is outside [0, L-1).

    Returns:
        (B, C, N, h, w) in the dtype of x. Coordinates and blending stay in at least float32. A position that is not
        finite gives NaN. The slope with respect to a position is that to its right (off the CPU, rounding may take the
        other at exact integers); under `border` and `official` it is exactly 0 at and beyond the limits 0 and L-1.

    Raises:
        RowError: unknown padding_mode.

    Example:
        >>> import torch
        >>> from akyolo import sample
        >>> x = torch.arange(12.0).reshape(1, 1, 3, 4)
        >>> sample(x, torch.tensor([0.5, 1.0]).reshape(1, 1, 1, 1, 2)).item()  # row 0.5, column 1
        3.0
    """
    check_choice(PADDING_MODES, padding_mode=padding_mode)
    yx = yx.to(torch.promote_types(torch.promote_types(x.dtype, yx.dtype), torch.float32))
    bounded = yx if padding_mode == "zeros" else _on_the_map(yx, *x.shape[-2:])
    seen = _by_grid_sample(x, bounded) if _by_grid(x) else _Bags.apply(x, bounded)
    return seen * _official_weight(yx, x) if padding_mode == "official" else seen


def captures_a_graph() -> bool:
    """Whether this call is being traced, exported or compiled: no custom autograd function may be reached."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()


def _by_grid(x: Tensor) -> bool:
    return captures_a_graph() or x.device.type != "cpu"


class _Bags(torch.autograd.Function):
    """x (B, C, H, W) and positions (B, N, h, w, 2) to samples (B, C, N, h, w), zeros outside the map."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, yx: Tensor) -> Tensor:
        """Each sample as a weighted sum of four rows of the (B*H*W, C) table of pixels."""
        ctx.save_for_backward(x, yx)
        pixels, weights = _four_corners(yx, *x.shape[-2:])
        seen = F.embedding_bag(pixels, _table(x, yx.dtype), per_sample_weights=weights, mode="sum")
        b, n, h, w, _ = yx.shape
        return rearrange(seen.to(x.dtype), "(b h w n) c -> b c n h w", b=b, n=n, h=h, w=w)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The corners are found again: they would take more memory than the samples."""
        x, yx = ctx.saved_tensors
        rows = rearrange(grad, "b c n h w -> (b h w n) c").to(yx.dtype).contiguous()
        with torch.enable_grad():
            yx = yx.detach().requires_grad_(ctx.needs_input_grad[1])
            pixels, weights = _four_corners(yx, *x.shape[-2:])
        grad_x = grad_yx = None
        if ctx.needs_input_grad[1]:
            (grad_yx,) = torch.autograd.grad(weights, yx, _products(rows, _table(x, yx.dtype), pixels))
        if ctx.needs_input_grad[0]:
            b, _, height, width = x.shape
            table = _scatter(rows, pixels, weights.detach(), b * height * width)
            grad_x = rearrange(table.to(x.dtype), "(b h w) c -> b c h w", b=b, h=height, w=width)
        return grad_x, grad_yx


def _table(x: Tensor, dtype: torch.dtype) -> Tensor:
    return rearrange(x, "b c h w -> (b h w) c").to(dtype)


def _products(rows: Tensor, table: Tensor, pixels: Tensor) -> Tensor:
    """The inner product of each row (M, C) with each of its four pixels (M, 4): the slope of the weights, (M, 4)."""
    numbers = torch.arange(pixels.numel(), dtype=pixels.dtype)
    # what autograd calls too; by itself, without the forward pass and the checks around it
    backward = torch.ops.aten._embedding_bag_per_sample_weights_backward
    return backward(rows, table, pixels.view(-1), numbers[::4].contiguous(), numbers >> 2, 0).view(-1, 4)


def _scatter(rows: Tensor, pixels: Tensor, weights: Tensor, count: int) -> Tensor:
    """Add each row (M, C) to its four pixels, (M, 4), by its weights: again bags, one a pixel, now of samples."""
    pixels = pixels.view(-1)
    order = pixels.argsort()
    sizes = pixels.bincount(minlength=count)
    starts = (sizes.cumsum(0) - sizes).int()
    samples = (order >> 2).int()
    return F.embedding_bag(
        samples, rows, starts, per_sample_weights=weights.view(-1).index_select(0, order), mode="sum"
    )


def _four_corners(yx: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """For each position, in the order b h w n: its four pixels (M, 4) as rows of the table, and their weights."""
    y, x_ = rearrange(yx, "b n h w yx -> yx b h w n")
    (above, above_weight), (below, below_weight) = _two_nearest(y, height)
    (left, left_weight), (right, right_weight) = _two_nearest(x_, width)
    image = torch.arange(len(yx), dtype=torch.int32).view(-1, 1, 1, 1) * (height * width)
    above, below = image + above * width, image + below * width
    # corner by corner, then side by side: arithmetic on axes of length 2 would be several times slower
    pixels = torch.stack((above + left, above + right, below + left, below + right), dim=-1)
    weights = (
        above_weight * left_weight,
        above_weight * right_weight,
        below_weight * left_weight,
        below_weight * right_weight,
    )
    return pixels.view(-1, 4), torch.stack(weights, dim=-1).view(-1, 4)


def _two_nearest(p: Tensor, length: int) -> list[tuple[Tensor, Tensor]]:
    """The pixels left and right of `p` on one axis: (index, weight) each, weight 0 outside the map."""
    p = (p + p.detach() * 0).clamp(-2, length + 1)  # infinities become NaN, far positions convert to an index
    left = p.detach().floor()
    right_weight = p - left
    return [
        (at.nan_to_num().clamp_(0, length - 1).int(), weight * ((at >= 0) & (at < length)))
        for at, weight in ((left, 1 - right_weight), (left + 1, right_weight))
    ]


def _by_grid_sample(x: Tensor, yx: Tensor) -> Tensor:
    height, width = x.shape[-2:]
    y, x_ = (
        (p + p * 0).clamp(min=-2).clamp(max=length + 1)
        for p, length in zip(yx.unbind(-1), (height, width), strict=True)
    )
    # as it counts: x before y, from -1 to 1 between the map's outer edges
    grid = torch.stack(((2 * x_ + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1)
    seen = F.grid_sample(x.to(yx.dtype), rearrange(grid, "b n h w xy -> b (n h) w xy"), align_corners=False)
    # grid_sample may see nothing, rather than NaN, at a position that is NaN
    carried = rearrange((yx * 0).sum(-1), "b n h w -> b 1 n h w")
    return (rearrange(seen, "b c (n h) w -> b c n h w", n=yx.shape[1]) + carried).to(x.dtype)


def _on_the_map(yx: Tensor, height: int, width: int) -> Tensor:
    """Clamped to [0, L-1], with no slope at or beyond either limit; what is not finite is NaN."""
    return torch.stack(
        [
            torch.where((p > 0) & (p < length - 1), p, (p.detach() + p.detach() * 0).clamp(min=0).clamp(max=length - 1))
            for p, length in zip(yx.unbind(-1), (height, width), strict=True)
        ],
        dim=-1,
    )


def _official_weight(yx: Tensor, x: Tensor) -> Tensor:
    """2 to the number of axes on which a position is outside, (B, 1, N, h, w): both its corners are one pixel."""
    outside = [(p < 0) | (p >= length - 1) for p, length in zip(yx.unbind(-1), x.shape[-2:], strict=True)]
    return ((1 + outside[0].to(x.dtype)) * (1 + outside[1].to(x.dtype))).unsqueeze(1)
