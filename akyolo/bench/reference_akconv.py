"""Reference implementations of AKConv.

They have the weights and the results of AKConv, but sample in other ways. `FourGather` is written from the pseudo-code
of the paper (X. Zhang et al., arXiv 2311.11587), step by step. `DeformColumn` gives the same positions to
`torchvision.ops.deform_conv2d`. Neither is tuned or slowed down. No model YAML can name them.
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
    """AKConv by the method of the paper.

    It has `padding_mode="official"`.

    Four gathers of whole pixels are blended, and a strided column convolution follows.

    Args:
        c1: input channels.
        c2: output channels.
        num_param: number of taps N.
        stride: pixels of the input between neighbouring outputs.
        others: `shape`, `offset` and `act`, as AKConv takes them.
    """

    samples_input = False

    def __init__(self, c1: int, c2: int, num_param: int, stride: int = 1, **others: Any) -> None:
        """Build the layers."""
        super().__init__(c1, c2, num_param, stride, padding_mode="official", **others)

    def raw(self, x: Tensor) -> Tensor:
        """Return the output before BN and activation.

        Args:
            x: (B, c1, H, W).

        Returns:
            (B, c2, h, w).
        """
        offset = self._zero_offset(x) if self.offset_conv is None else self.offset_conv(x)
        p = positions(offset, self.shape, self.stride)
        taps = gather_and_blend(x, rearrange(p, "b yxn h w -> b h w yxn").contiguous())
        n = len(self.shape)
        return F.conv2d(rearrange(taps, "b c h w n -> b c (h n) w"), self.conv.weight, self.conv.bias, stride=(n, 1))


def positions(offset: Tensor, shape: Sequence[Point], stride: int) -> Tensor:
    """Return the positions p0 + pn + offset, in pixels.

    They are at least float32: in half precision, as in the released code, an index could lie outside the feature map.

    Args:
        offset: (B, 2N, h, w) in pixels: N of rows, then N of columns.
        shape: the N points (y, x) of the kernel.
        stride: pixels of the input between neighbouring outputs.

    Returns:
        (B, 2N, h, w): N rows, then N columns.
    """
    dtype = torch.promote_types(offset.dtype, torch.float32)
    n = len(shape)
    h, w = offset.shape[-2:]
    i, j = torch.meshgrid(torch.arange(h) * stride, torch.arange(w) * stride, indexing="ij")
    p0 = torch.cat([i.expand(1, n, h, w), j.expand(1, n, h, w)], dim=1).to(offset.device, dtype)
    pn = torch.tensor([y for y, _ in shape] + [x for _, x in shape], device=offset.device, dtype=dtype)
    return p0 + pn.view(1, 2 * n, 1, 1) + offset


def gather_and_blend(x: Tensor, p: Tensor) -> Tensor:
    """Return bilinear values at all positions.

    Args:
        x: (B, C, H, W).
        p: positions in pixels, (B, h, w, 2N): N rows, then N columns.

    Returns:
        (B, C, h, w, N) in the dtype of x.
    """
    height, width = x.shape[-2:]
    lt = p.detach().floor()
    lt, rb = (_clamp(q, height, width).long() for q in (lt, lt + 1))
    n = p.shape[-1] // 2
    lb = torch.cat([lt[..., :n], rb[..., n:]], dim=-1)
    rt = torch.cat([rb[..., :n], lt[..., n:]], dim=-1)
    # The position is clamped after its indices. So at a border both corners are the same pixel, each of weight 1.
    p = _clamp(p, height, width)
    sides = ((lt, 1, 1), (rb, -1, -1), (lb, 1, -1), (rt, -1, 1))
    weights = [_weight(p, corner, down, right).to(x.dtype).unsqueeze(1) for corner, down, right in sides]
    values = [_pixels(x, corner) for corner, _, _ in sides]
    return weights[0] * values[0] + weights[1] * values[1] + weights[2] * values[2] + weights[3] * values[3]


def _weight(p: Tensor, corner: Tensor, down: int, right: int) -> Tensor:
    """Return the weight of a corner, (B, h, w, N).

    Along each axis it is 1 minus the distance of the corner from p. `down` and `right` are 1 for a corner before p and
    -1 for one behind, so that the distance is positive.
    """
    rows, columns = (corner.to(p.dtype) - p).chunk(2, dim=-1)
    return (1 + down * rows) * (1 + right * columns)


def _clamp(q: Tensor, height: int, width: int) -> Tensor:
    """Return positions clamped to the feature map."""
    rows, columns = q.chunk(2, dim=-1)
    return torch.cat([rows.clamp(0, height - 1), columns.clamp(0, width - 1)], dim=-1)


def _pixels(x: Tensor, q: Tensor) -> Tensor:
    """Return the pixels at whole positions.

    Args:
        x: (B, C, H, W).
        q: (B, h, w, 2N): N rows, then N columns.

    Returns:
        (B, C, h, w, N).
    """
    rows, columns = q.chunk(2, dim=-1)
    index = rows * x.shape[-1] + columns
    indices = index.unsqueeze(1).expand(-1, x.shape[1], -1, -1, -1).contiguous()
    pixels = x.contiguous().flatten(2).gather(-1, indices.flatten(2))
    return pixels.view_as(indices)


class DeformColumn(AKConv):
    """AKConv with `padding_mode="zeros"`, by torchvision's deformable convolution.

    Its kernel is (N, 1), with offsets that lead to the positions of AKConv.
    """

    samples_input = False

    def raw(self, x: Tensor) -> Tensor:
        """Return the output before BN and activation.

        Args:
            x: (B, c1, H, W).

        Returns:
            (B, c2, h, w).
        """
        from torchvision.ops import deform_conv2d  # seconds to import

        n = len(self.shape)
        offset = self._zero_offset(x) if self.offset_conv is None else self.offset_conv(x)
        # Dilation 2 and padding N-1 give h = ceil(H/stride) for even N too. Tap n then samples row 2n - (N-1).
        constant = [[y - 2 * tap + n - 1, column] for tap, (y, column) in enumerate(self.shape)]
        dtype = torch.promote_types(x.dtype, torch.float32)  # torchvision has no 16-bit kernel on every device
        shifts = torch.tensor(constant, device=x.device, dtype=dtype)
        interleaved = rearrange(offset.to(dtype), "b (yx n) h w -> b n yx h w", yx=2) + shifts[..., None, None]
        return deform_conv2d(
            x.to(dtype),
            rearrange(interleaved, "b n yx h w -> b (n yx) h w"),
            self.conv.weight,
            self.conv.bias,
            stride=self.stride,
            padding=(n - 1, 0),
            dilation=(2, 1),
        )
