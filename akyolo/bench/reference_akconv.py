"""AKConv by other means, to be measured against: the same weights, the same result, other ways to look.

`FourGather` follows the pseudo-code of the paper (X. Zhang et al., arXiv 2311.11587) step by step, written anew;
`DeformColumn` gives the same positions to `torchvision.ops.deform_conv2d`. Neither is tuned, neither is slowed down.
Both are for benchmarks and tests: no model YAML can name them.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from akyolo.ops.akconv import AKConv
from akyolo.sampling import Point


class FourGather(AKConv):
    """AKConv with `padding_mode="official"`: four gathers of whole pixels, blended, and a strided column convolution.

    Args:
        c1: input channels.
        c2: output channels.
        num_param: number of taps N.
        stride: pixels of the input between neighbouring outputs.
        others: `shape`, `offset` and `act`, as AKConv takes them.
    """

    samples_input = False

    def __init__(self, c1: int, c2: int, num_param: int, stride: int = 1, **others: Any) -> None:
        super().__init__(c1, c2, num_param, stride, padding_mode="official", **others)

    def raw(self, x: Tensor) -> Tensor:
        """(B, c1, H, W) to (B, c2, h, w), before BN and activation."""
        offset = self._zero_offset(x) if self.offset_conv is None else self.offset_conv(x)
        p = positions(offset, self.shape, self.stride)
        taps = gather_and_blend(x, rearrange(p, "b yxn h w -> b h w yxn").contiguous())
        n = len(self.shape)
        return F.conv2d(rearrange(taps, "b c h w n -> b c (h n) w"), self.conv.weight, self.conv.bias, stride=(n, 1))


def positions(offset: Tensor, shape: Sequence[Point], stride: int) -> Tensor:
    """p0 + pn + offset in pixels of the input, (B, 2N, h, w): N rows, then N columns.

    In at least float32: in half precision, as released, an index could lie beyond the map.
    """
    dtype = torch.promote_types(offset.dtype, torch.float32)
    n = len(shape)
    h, w = offset.shape[-2:]
    i, j = torch.meshgrid(torch.arange(h) * stride, torch.arange(w) * stride, indexing="ij")
    p0 = torch.cat([i.expand(1, n, h, w), j.expand(1, n, h, w)], dim=1).to(offset.device, dtype)
    pn = torch.tensor([y for y, _ in shape] + [x for _, x in shape], device=offset.device, dtype=dtype)
    return p0 + pn.view(1, 2 * n, 1, 1) + offset


def gather_and_blend(x: Tensor, p: Tensor) -> Tensor:
    """The bilinear value of `x` (B, C, H, W) at every `p` (B, h, w, 2N), as (B, C, h, w, N) in the dtype of x."""
    height, width = x.shape[-2:]
    lt = p.detach().floor()
    lt, rb = (_clamped(q, height, width).long() for q in (lt, lt + 1))
    n = p.shape[-1] // 2
    lb = torch.cat([lt[..., :n], rb[..., n:]], dim=-1)
    rt = torch.cat([rb[..., :n], lt[..., n:]], dim=-1)
    # after the indices, the coordinate too: so both pixels at a border are one, with weight 1 each
    p = _clamped(p, height, width)
    sides = ((lt, 1, 1), (rb, -1, -1), (lb, 1, -1), (rt, -1, 1))
    weights = [_weight(p, corner, down, right).to(x.dtype).unsqueeze(1) for corner, down, right in sides]
    seen = [_pixels(x, corner) for corner, _, _ in sides]
    return weights[0] * seen[0] + weights[1] * seen[1] + weights[2] * seen[2] + weights[3] * seen[3]


def _weight(p: Tensor, corner: Tensor, down: int, right: int) -> Tensor:
    """How much a corner counts at `p`, (B, h, w, N): 1 less its distance, signed for the side it is on, per axis."""
    rows, columns = (corner.to(p.dtype) - p).chunk(2, dim=-1)
    return (1 + down * rows) * (1 + right * columns)


def _clamped(q: Tensor, height: int, width: int) -> Tensor:
    rows, columns = q.chunk(2, dim=-1)
    return torch.cat([rows.clamp(0, height - 1), columns.clamp(0, width - 1)], dim=-1)


def _pixels(x: Tensor, q: Tensor) -> Tensor:
    """The pixels of `x` at whole positions `q` (B, h, w, 2N), by flat index: (B, C, h, w, N)."""
    rows, columns = q.chunk(2, dim=-1)
    index = rows * x.shape[-1] + columns
    everywhere = index.unsqueeze(1).expand(-1, x.shape[1], -1, -1, -1).contiguous()
    found = x.contiguous().flatten(2).gather(-1, everywhere.flatten(2))
    return found.view_as(everywhere)


class DeformColumn(AKConv):
    """AKConv with zeros beyond the border, by a deformable (N, 1) kernel whose offsets lead to the same positions."""

    samples_input = False

    def raw(self, x: Tensor) -> Tensor:
        """(B, c1, H, W) to (B, c2, h, w), before BN and activation."""
        from torchvision.ops import deform_conv2d

        n = len(self.shape)
        offset = self._zero_offset(x) if self.offset_conv is None else self.offset_conv(x)
        # dilation 2 and padding N-1 give h = ceil(H/stride) for even N too; its tap n then stands at row 2n - (N-1)
        moves = [[y - 2 * tap + n - 1, column] for tap, (y, column) in enumerate(self.shape)]
        dtype = torch.promote_types(x.dtype, torch.float32)  # torchvision has no 16-bit kernel on every device
        standing = torch.tensor(moves, device=x.device, dtype=dtype)
        interleaved = rearrange(offset.to(dtype), "b (yx n) h w -> b n yx h w", yx=2) + standing[..., None, None]
        return deform_conv2d(
            x.to(dtype),
            rearrange(interleaved, "b n yx h w -> b (n yx) h w"),
            self.conv.weight,
            self.conv.bias,
            stride=self.stride,
            padding=(n - 1, 0),
            dilation=(2, 1),
        )
