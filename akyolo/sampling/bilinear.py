"""Bilinear sampling at arbitrary positions: one meaning, two realisations.

On a CPU every sample is a weighted bag of four pixels (`embedding_bag`): about five times faster than `grid_sample`,
and exact in pixel coordinates, so the slope at an integer position is always that of the cell to its right. It is
recomputed in the backward pass, so a layer keeps its input and its positions, nothing in between. Elsewhere, and
whenever a graph is captured (trace, export, compile), `grid_sample` does the same in normalised coordinates, whose
rounding may take the left-hand slope at exact integers.
"""

from itertools import product

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from akyolo.errors import RowError, did_you_mean

PADDING_MODES = ("zeros", "border", "official")


def sampling_format(x: Tensor) -> Tensor:
    """The same map in the memory format that `sample` reads fastest: on a CPU the channels of a pixel side by side."""
    return x if _by_grid(x) else x.contiguous(memory_format=torch.channels_last)


def sample(x: Tensor, yx: Tensor, padding_mode: str = "zeros") -> Tensor:
    """Look at `x` in `yx`.

    Args:
        x: (B, C, H, W), floating point.
        yx: (B, N, h, w, 2), row y then column x, in pixels of x; pixel centres at integers.
        padding_mode: what lies outside: `zeros`; `border`, the nearest pixel; or `official`, the released AKConv,
            which counts the nearest pixel twice for every axis on which a position is outside [0, L-1).

    Returns:
        (B, C, N, h, w) in the dtype of x. Coordinates and blending stay in at least float32. A position that is not
        finite gives NaN. The slope with respect to a position is that to its right; under `border` and `official` it
        is exactly 0 at and beyond the limits 0 and L-1.

    Raises:
        RowError: unknown padding_mode.
    """
    if padding_mode not in PADDING_MODES:
        raise RowError(f"unknown padding_mode {padding_mode!r}", remedy=did_you_mean(padding_mode, PADDING_MODES))
    yx = yx.to(torch.promote_types(torch.promote_types(x.dtype, yx.dtype), torch.float32))
    if _by_grid(x):
        seen = _by_grid_sample(x, yx, padding_mode)
    elif torch.is_grad_enabled() and (x.requires_grad or yx.requires_grad):
        seen = checkpoint(_by_bags, x, yx, padding_mode, use_reentrant=False, preserve_rng_state=False)
    else:
        seen = _by_bags(x, yx, padding_mode)
    return seen * _official_weight(yx, x) if padding_mode == "official" else seen


def _by_grid(x: Tensor) -> bool:
    captures_a_graph = torch.jit.is_tracing() or torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()
    return captures_a_graph or x.device.type != "cpu"


def _by_bags(x: Tensor, yx: Tensor, padding_mode: str) -> Tensor:
    """Each sample as a weighted sum of four rows of the (B*H*W, C) table of pixels."""
    batch, _, height, width = x.shape
    y, x_ = rearrange(_bounded(yx, height, width, padding_mode), "b n h w yx -> yx b h w n")
    image = torch.arange(batch, device=x.device, dtype=torch.int32).view(-1, 1, 1, 1) * (height * width)
    corners = list(product(_two_nearest(y, height), _two_nearest(x_, width)))
    # corner by corner, then side by side: arithmetic on axes of length 2 would be several times slower
    pixels = torch.stack([image + row * width + column for (row, _), (column, _) in corners], dim=-1)
    weights = torch.stack([row_weight * column_weight for (_, row_weight), (_, column_weight) in corners], dim=-1)
    table = rearrange(x, "b c h w -> (b h w) c").to(yx.dtype)
    seen = F.embedding_bag(pixels.view(-1, 4), table, per_sample_weights=weights.view(-1, 4), mode="sum")
    _, n, h, w, _ = yx.shape
    return rearrange(seen.to(x.dtype), "(b h w n) c -> b c n h w", b=batch, n=n, h=h, w=w)


def _two_nearest(p: Tensor, length: int) -> list[tuple[Tensor, Tensor]]:
    """The pixels left and right of `p` on one axis: (index, weight) each, weight 0 outside the map."""
    left = p.detach().floor()
    right_weight = p - left
    return [
        (at.nan_to_num().clamp(0, length - 1).int(), weight * ((at >= 0) & (at < length)))
        for at, weight in ((left, 1 - right_weight), (left + 1, right_weight))
    ]


def _by_grid_sample(x: Tensor, yx: Tensor, padding_mode: str) -> Tensor:
    height, width = x.shape[-2:]
    y, x_ = _bounded(yx, height, width, padding_mode).unbind(-1)
    grid = torch.stack(((2 * x_ + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1)
    seen = F.grid_sample(x.to(yx.dtype), rearrange(grid, "b n h w xy -> b (n h) w xy"), align_corners=False)
    # grid_sample may see nothing, rather than NaN, at a position that is NaN
    carried = rearrange((yx * 0).sum(-1), "b n h w -> b 1 n h w")
    return (rearrange(seen, "b c (n h) w -> b c n h w", n=yx.shape[1]) + carried).to(x.dtype)


def _bounded(yx: Tensor, height: int, width: int, padding_mode: str) -> Tensor:
    """Positions that convert to an index without overflow: infinities become NaN, far ones stop at the margin."""
    yx = yx.masked_fill(~yx.isfinite(), float("nan"))
    lowest, margin = (-2, 1) if padding_mode == "zeros" else (0, -1)
    return torch.stack(
        [_between(p, lowest, length + margin) for p, length in zip(yx.unbind(-1), (height, width), strict=True)], dim=-1
    )


def _between(p: Tensor, lowest: int, highest: int) -> Tensor:
    """Clamp to [lowest, highest], with no slope at or beyond either limit."""
    return torch.where((p > lowest) & (p < highest), p, p.detach().clamp(min=lowest).clamp(max=highest))


def _official_weight(yx: Tensor, x: Tensor) -> Tensor:
    """2 to the number of axes on which a position is outside, (B, 1, N, h, w): both its corners are one pixel."""
    outside = [(p < 0) | (p >= length - 1) for p, length in zip(yx.unbind(-1), x.shape[-2:], strict=True)]
    return ((1 + outside[0].to(x.dtype)) * (1 + outside[1].to(x.dtype))).unsqueeze(1)
