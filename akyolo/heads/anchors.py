"""Anchor boxes: read, decoded and encoded.

A prediction of an anchor-based head (YOLOv5 since release 6, YOLOv7) is relative to its cell and its anchor:

    x, y = (2*sigmoid(t) - 0.5 + cell) * stride,    w, h = (2*sigmoid(t))^2 * anchor

So a centre lies at most half a cell outside its own cell, and a side is at most four times that of the anchor.
"""

import reprlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from akyolo.checks import Numbers
from akyolo.errors import RowError

LENGTHS = Numbers(above=0, below=2.0**128)  # of a side: what float32 can hold


def anchor_table(anchors: Any, levels: int) -> Tensor:
    """Return the anchors of a YAML as a tensor.

    Args:
        anchors: one entry per level: a flat list [w, h, w, h, ...] or a list of pairs [w, h], in pixels.
        levels: number L of feature maps of the head.

    Returns:
        (L, A, 2) float32, (w, h) in pixels.

    Raises:
        RowError: not one entry per level, an entry that is not a list of pairs, levels with different numbers of
            anchors, or a side that is not a positive, finite number.

    Example:
        >>> from akyolo.heads.anchors import anchor_table
        >>> anchor_table([[10, 13, 16, 30], [30, 61, 62, 45]], levels=2).shape
        torch.Size([2, 2, 2])
    """
    remedy = f"write {levels} lists [w, h, w, h, ...] in pixels, one per level and all of one length"
    if not isinstance(anchors, list | tuple):
        raise RowError(f"anchors={reprlib.repr(anchors)} is not a list", remedy=remedy)
    if len(anchors) != levels:
        raise RowError(f"anchors for {len(anchors)} levels, but the head gets {levels} feature maps", remedy=remedy)
    table = [_pairs(entry, level, remedy) for level, entry in enumerate(anchors)]
    counts = [len(pairs) for pairs in table]
    if len(set(counts)) > 1:
        raise RowError(
            f"the levels have {', '.join(map(str, counts))} anchors: all must have the same number", remedy=remedy
        )
    return torch.tensor(table, dtype=torch.float32)


def _pairs(entry: Any, level: int, remedy: str) -> list[tuple[float, float]]:
    """Return the (w, h) of one level."""
    shown = f"anchors of level {level}: {reprlib.repr(entry)}"
    if not isinstance(entry, list | tuple) or not entry:
        raise RowError(f"{shown} is not a list of widths and heights", remedy=remedy)
    if all(isinstance(pair, list | tuple) for pair in entry):
        if any(len(pair) != 2 for pair in entry):
            raise RowError(f"{shown} has an entry that is not a pair [w, h]", remedy=remedy)
        entry = [side for pair in entry for side in pair]
    for side in entry:
        if side not in LENGTHS:
            raise RowError(f"{shown} has {side!r}, which is not a positive, finite number", remedy=remedy)
    if len(entry) % 2:
        raise RowError(f"{shown} has {len(entry)} numbers: a height is missing", remedy=remedy)
    return list(zip(map(float, entry[::2]), map(float, entry[1::2]), strict=True))


def at_least_float32(x: Tensor) -> Tensor:
    """Return x in float32 if its dtype is shorter.

    Half precision is too coarse for coordinates in pixels.
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))


def relative_boxes(logits: Tensor) -> Tensor:
    """Return boxes relative to their cells and anchors.

    Args:
        logits: (..., >=4): x, y, w, h; further channels are ignored.

    Returns:
        (..., 4), at least float32: the centre x, y from the corner of the cell, in cells; w and h in anchors.
    """
    twice = 2 * at_least_float32(logits[..., :4]).sigmoid()
    return torch.cat((twice[..., :2] - 0.5, twice[..., 2:].square()), -1)


def cell_corners(size: Sequence[int], like: Tensor) -> Tensor:
    """Return x and y of all cell corners.

    The unit is one cell.

    Args:
        size: (ny, nx).
        like: a tensor of the dtype and device to use.

    Returns:
        (ny, nx, 2).
    """
    y, x = (torch.arange(length, device=like.device, dtype=like.dtype) for length in size)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def decode(raw: Tensor, anchors_px: Tensor, stride: float | Tensor) -> Tensor:
    """Return the boxes that one level predicts.

    Args:
        raw: (B, A, ny, nx, >=4) logits x, y, w, h; further channels are ignored.
        anchors_px: (A, 2), (w, h) in pixels.
        stride: pixels between neighbouring cells.

    Returns:
        (B, A, ny, nx, 4): centre x, y, w, h in pixels, at least float32.
    """
    boxes = relative_boxes(raw)
    corners = cell_corners(raw.shape[2:4], boxes)
    sides = anchors_px.to(boxes.dtype)[:, None, None]
    return torch.cat(((boxes[..., :2] + corners) * stride, boxes[..., 2:] * sides), -1)


def encode(boxes: Tensor, anchors_px: Tensor, stride: float | Tensor) -> Tensor:
    """Return the logits of boxes: the inverse of `decode`.

    Args:
        boxes: (B, A, ny, nx, 4): centre x, y, w, h in pixels.
        anchors_px: (A, 2), (w, h) in pixels.
        stride: pixels between neighbouring cells.

    Returns:
        (B, A, ny, nx, 4); infinite or NaN where a cell and its anchor cannot predict the box.
    """
    boxes = at_least_float32(boxes)
    corners = cell_corners(boxes.shape[2:4], boxes)
    centre = (boxes[..., :2] / stride - corners + 0.5) / 2
    sides = (boxes[..., 2:] / anchors_px.to(boxes.dtype)[:, None, None]).sqrt() / 2
    return torch.cat((centre, sides), -1).logit()
