"""Fit anchors to the boxes of a data set (YOLOv5's autoanchor)."""

import math
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float32]

SMALLEST_BOX = 2.0  # pixels: a label whose longer side is below it says nothing about shapes
MOST_BOXES = 10_000  # more of them change the anchors by less than the fit's own scatter
MUTATIONS, MUTATED_SHARE, MUTATION_SCALE = 1000, 0.9, 0.1
MUTATION_RANGE = (0.3, 3.0)  # factors on a side


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
