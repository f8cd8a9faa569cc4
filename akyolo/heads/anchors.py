"""Anchor boxes: what a YAML writes, and how logits move them.

A prediction of an anchor-based head (YOLOv5 since release 6, YOLOv7) is relative to its cell and its anchor:

    x, y = (2*sigmoid(t) - 0.5 + cell) * stride,    w, h = (2*sigmoid(t))^2 * anchor

so a centre reaches half a cell beyond its own cell, and a side is at most four times the anchor's.
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
    """The anchors of a model YAML as one table.

    Args:
        anchors: one entry per level, each a flat list [w, h, w, h, ...] or a list of pairs [w, h], in pixels.
        levels: the number L of feature maps that the head gets.

    Returns:
        (L, A, 2) float32, (w, h) in pixels.

    Raises:
        RowError: not one entry per level, an entry that is no list of pairs, levels with different numbers of anchors,
            or a side that is not a positive, finite number.
    """
    remedy = f"write {levels} lists [w, h, w, h, ...] in pixels, one per level and all of one length"
    if not isinstance(anchors, list | tuple):
        raise RowError(f"anchors={reprlib.repr(anchors)} is no list", remedy=remedy)
    if len(anchors) != levels:
        raise RowError(f"anchors for {len(anchors)} levels, but the head gets {levels} feature maps", remedy=remedy)
    table = [_pairs(entry, level, remedy) for level, entry in enumerate(anchors)]
    counts = [len(pairs) for pairs in table]
    if len(set(counts)) > 1:
        raise RowError(f"the levels have {', '.join(map(str, counts))} anchors: not the same number", remedy=remedy)
    return torch.tensor(table, dtype=torch.float32)


def _pairs(entry: Any, level: int, remedy: str) -> list[tuple[float, float]]:
    """The (w, h) of one level."""
    shown = f"anchors of level {level}: {reprlib.repr(entry)}"
    if not isinstance(entry, list | tuple) or not entry:
        raise RowError(f"{shown} is no list of widths and heights", remedy=remedy)
    if all(isinstance(pair, list | tuple) for pair in entry):
        if any(len(pair) != 2 for pair in entry):
            raise RowError(f"{shown} holds something that is no pair [w, h]", remedy=remedy)
        entry = [side for pair in entry for side in pair]
    for side in entry:
        if side not in LENGTHS:
            raise RowError(f"{shown} holds {side!r}, which is not a positive, finite number", remedy=remedy)
    if len(entry) % 2:
        raise RowError(f"{shown} has {len(entry)} numbers: a height is missing", remedy=remedy)
    return list(zip(map(float, entry[::2]), map(float, entry[1::2]), strict=True))


def at_least_float32(x: Tensor) -> Tensor:
    """`x`, in float32 if it is of a shorter type: half precision cannot hold a coordinate."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def relative_boxes(logits: Tensor) -> Tensor:
    """Logits (..., >=4) to (..., 4): the centre x, y from the cell's corner in cells, w and h in anchors.

    In at least float32.
    """
    twice = 2 * at_least_float32(logits[..., :4]).sigmoid()
    return torch.cat((twice[..., :2] - 0.5, twice[..., 2:].square()), -1)


def cell_corners(size: Sequence[int], like: Tensor) -> Tensor:
    """(ny, nx, 2) for a size (ny, nx): x and y of every cell's corner, in cells; type and device of `like`."""
    y, x = (torch.arange(length, device=like.device, dtype=like.dtype) for length in size)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def decode(raw: Tensor, anchors_px: Tensor, stride: float | Tensor) -> Tensor:
    """The boxes that one level predicts.

    Args:
        raw: (B, A, ny, nx, >=4) logits x, y, w, h; more channels are left alone.
        anchors_px: (A, 2), (w, h) in pixels.
        stride: pixels between neighbouring cells.

    Returns:
        (B, A, ny, nx, 4): centre x, y, w, h in pixels, in at least float32.
    """
    boxes = relative_boxes(raw)
    corners = cell_corners(raw.shape[2:4], boxes)
    sides = anchors_px.to(boxes.dtype)[:, None, None]
    return torch.cat(((boxes[..., :2] + corners) * stride, boxes[..., 2:] * sides), -1)


def encode(boxes: Tensor, anchors_px: Tensor, stride: float | Tensor) -> Tensor:
    """The logits that `decode` turns into `boxes`: its inverse.

    Args:
        boxes: (B, A, ny, nx, 4): centre x, y, w, h in pixels.
        anchors_px: (A, 2), (w, h) in pixels.
        stride: pixels between neighbouring cells.

    Returns:
        (B, A, ny, nx, 4); infinite or NaN where a box is beyond the reach of its cell or its anchor.
    """
    boxes = at_least_float32(boxes)
    corners = cell_corners(boxes.shape[2:4], boxes)
    centre = (boxes[..., :2] / stride - corners + 0.5) / 2
    sides = (boxes[..., 2:] / anchors_px.to(boxes.dtype)[:, None, None]).sqrt() / 2
    return torch.cat((centre, sides), -1).logit()
