"""Anchor boxes: what a YAML writes, how logits move them, and fitting them to a data set.

A prediction of an anchor-based head (YOLOv5 since release 6, YOLOv7) is relative to its cell and its anchor:

    x, y = (2*sigmoid(t) - 0.5 + cell) * stride,    w, h = (2*sigmoid(t))^2 * anchor

so a centre reaches half a cell beyond its own cell, and a side is at most four times the anchor's.
"""

import math
import reprlib
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from akyolo.errors import RowError

Floats = NDArray[np.float32]

SMALLEST_BOX = 2.0  # pixels: a label whose longer side is below it says nothing about shapes
MOST_BOXES = 10_000  # more of them change the anchors by less than the fit's own scatter
MUTATIONS, MUTATED_SHARE, MUTATION_SCALE = 1000, 0.9, 0.1
MUTATION_RANGE = (0.3, 3.0)  # factors on a side


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
        if isinstance(side, bool) or not isinstance(side, int | float):
            raise RowError(f"{shown} holds {side!r}, which is no number", remedy=remedy)
        if not (0 < side <= torch.finfo(torch.float32).max):  # false for NaN too
            raise RowError(f"{shown} holds {side!r}, which is no positive, finite length", remedy=remedy)
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


def best_possible_recall(wh_px: NDArray[np.floating], anchors: Tensor, threshold: float) -> float:
    """The share of boxes that some anchor can be matched with, whatever its level (YOLOv5's autoanchor).

    Args:
        wh_px: (n, 2) box sizes (w, h) in pixels; a box without width or height is never matched.
        anchors: (..., 2), (w, h) in pixels.
        threshold: an anchor fits where neither side is `threshold` times longer or shorter: `anchor_t`.

    Returns:
        0 to 1; 1 without boxes.
    """
    if not len(wh_px):
        return 1.0
    return float((_log_misfit(_logarithms(wh_px), _logarithms(anchors.reshape(-1, 2))) < math.log(threshold)).mean())


def fit_anchors(
    wh_px: NDArray[np.floating], levels: int, per_level: int, threshold: float, seed: int = 0
) -> Tensor | None:
    """Anchors for a data set: k-means on the box sizes, then mutations that raise the mean fit (as in YOLOv5).

    The fit of a box is the shorter-to-longer ratio of its worse side to that of the best anchor, 0 where that is below
    1/threshold. The same arguments give the same anchors.

    Args:
        wh_px: (n, 2) box sizes (w, h) in pixels, at the size of the training images.
        levels: number L of feature maps.
        per_level: number A of anchors of each.
        threshold: the largest side ratio at which an anchor is matched: `anchor_t`.
        seed: of the clustering and of the mutations.

    Returns:
        (L, A, 2) float32 by rising area, (w, h) in pixels, each a float16 number too: a checkpoint in half precision
        keeps them. None when fewer usable boxes than anchors are given: keep those of the YAML then.
    """
    generator = np.random.default_rng(seed)
    wh = np.asarray(wh_px, dtype=np.float32).reshape(-1, 2)
    wh = wh[(wh.max(1, initial=0) >= SMALLEST_BOX) & (wh > 0).all(1)]
    if len(wh) < levels * per_level:
        return None
    if len(wh) > MOST_BOXES:
        wh = wh[generator.choice(len(wh), MOST_BOXES, replace=False)]
    logarithms = _mutated(_logarithms(wh), _logarithms(_clusters(wh, levels * per_level, seed)), threshold, generator)
    fitted = np.exp(logarithms).astype(np.float16).astype(np.float32)
    fitted = fitted[np.argsort(fitted.prod(1), kind="stable")]
    return torch.from_numpy(fitted.reshape(levels, per_level, 2))


def _logarithms(wh: NDArray[np.floating] | Tensor) -> Floats:
    with np.errstate(divide="ignore"):  # a side of 0 becomes -inf, which fits nothing
        return np.log(np.asarray(wh, dtype=np.float32))


def _log_misfit(boxes: Floats, anchors: Floats) -> Floats:
    """(n,): logarithm of the worse side ratio of each box to its best anchor; sizes (n, 2) and (A, 2) as logarithms."""
    width, height = (np.abs(boxes[:, side] - anchors[:, side, None]) for side in (0, 1))
    misfit: Floats = np.maximum(width, height).min(0)
    return misfit


def _clusters(wh: Floats, number: int, seed: int) -> Floats:
    """(number, 2) centres of the box sizes, w and h weighed by their spread."""
    spread = wh.std(0)
    spread[spread == 0] = 1  # all boxes of one width or height
    cv2.setRNGSeed(seed)
    until = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 1e-3)
    best: Any = None
    _, _, centres = cv2.kmeans(wh / spread, number, best, until, 3, cv2.KMEANS_PP_CENTERS)
    clusters: Floats = np.asarray(centres, dtype=np.float32) * spread
    return clusters


def _mutated(boxes: Floats, anchors: Floats, threshold: float, generator: np.random.Generator) -> Floats:
    """The best of `MUTATIONS` generations; sizes (n, 2) and (A, 2) as logarithms."""

    def fitness(candidate: Floats) -> float:
        misfit = _log_misfit(boxes, candidate)
        return float(np.where(misfit < math.log(threshold), np.exp(-misfit), 0).mean())

    best = fitness(anchors)
    for _ in range(MUTATIONS):
        size = generator.random() * MUTATION_SCALE
        change = size * generator.standard_normal(anchors.shape, dtype=np.float32)
        change[generator.random(anchors.shape) >= MUTATED_SHARE] = 0
        candidate = (anchors + np.log(np.clip(1 + change, *MUTATION_RANGE))).astype(np.float32)
        reached = fitness(candidate)
        if reached > best:
            best, anchors = reached, candidate
    return anchors
