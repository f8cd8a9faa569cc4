"""Fit anchors to a data set (YOLOv5's autoanchor)."""

import math
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float32]

SMALLEST_BOX = 2.0  # pixels; a box whose longer side is shorter tells nothing about shapes
MAX_BOXES = 10_000  # more boxes change the anchors by less than the variation of the fit itself
MUTATIONS = 1000
MUTATED_FRACTION = 0.9  # of the sides, in each mutation
MUTATION_SCALE = 0.1
MUTATION_RANGE = (0.3, 3.0)  # smallest and largest factor on a side


def best_possible_recall(wh_px: NDArray[np.floating], anchors: Tensor, threshold: float) -> float:
    """Return the fraction of boxes that anchors match.

    Args:
        wh_px: (n, 2) box sizes (w, h) in pixels. A box without width or height is never matched.
        anchors: (..., 2), (w, h) in pixels, of all levels.
        threshold: an anchor matches if neither side is `threshold` times longer or shorter: `anchor_t`.

    Returns:
        A number from 0 to 1; 1 if there are no boxes.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from akyolo.heads.anchor_fit import best_possible_recall
        >>> best_possible_recall(np.array([[10.0, 12.0], [200.0, 90.0]]), torch.tensor([[16.0, 16.0]]), threshold=4.0)
        0.5
    """
    if not len(wh_px):
        return 1.0
    return float((_log_misfit(_logarithms(wh_px), _logarithms(anchors.reshape(-1, 2))) < math.log(threshold)).mean())


def fit_anchors(
    wh_px: NDArray[np.floating], levels: int, per_level: int, threshold: float, seed: int = 0
) -> Tensor | None:
    """Return anchors that fit a data set.

    K-means clusters the box sizes. Then mutations are kept that raise the mean fit, as in YOLOv5. The fit of a box is
    the shorter-to-longer ratio of its worse side to the same side of the best anchor; a ratio below 1/threshold counts
    as 0. The same arguments give the same anchors.

    Args:
        wh_px: (n, 2) box sizes (w, h) in pixels, at the size of the training images.
        levels: number L of feature maps.
        per_level: number A of anchors per level.
        threshold: the largest side ratio at which an anchor matches: `anchor_t`.
        seed: seed of the clustering and of the mutations.

    Returns:
        (L, A, 2) float32 in order of area, (w, h) in pixels. They are float16 numbers too, so that a checkpoint in half
        precision keeps them. None if there are fewer usable boxes than anchors: the anchors of the YAML then stay.
    """
    generator = np.random.default_rng(seed)
    wh = np.asarray(wh_px, dtype=np.float32).reshape(-1, 2)
    wh = wh[(wh.max(1, initial=0) >= SMALLEST_BOX) & (wh > 0).all(1)]
    if len(wh) < levels * per_level:
        return None
    if len(wh) > MAX_BOXES:
        wh = wh[generator.choice(len(wh), MAX_BOXES, replace=False)]
    logarithms = _mutate(_logarithms(wh), _logarithms(_clusters(wh, levels * per_level, seed)), threshold, generator)
    fitted = np.exp(logarithms).astype(np.float16).astype(np.float32)
    fitted = fitted[np.argsort(fitted.prod(1), kind="stable")]
    return torch.from_numpy(fitted.reshape(levels, per_level, 2))


def _logarithms(wh: NDArray[np.floating] | Tensor) -> Floats:
    """Return the logarithms of sizes, at least -inf."""
    with np.errstate(divide="ignore"):  # a side of 0 becomes -inf, which fits nothing
        return np.log(np.asarray(wh, dtype=np.float32))


def _log_misfit(boxes: Floats, anchors: Floats) -> Floats:
    """Return the misfit of each box, (n,).

    It is the logarithm of the ratio of the worse side. Sizes (n, 2) and (A, 2) are given as logarithms.
    """
    width, height = (np.abs(boxes[:, side] - anchors[:, side, None]) for side in (0, 1))
    misfit: Floats = np.maximum(width, height).min(0)
    return misfit


def _clusters(wh: Floats, number: int, seed: int) -> Floats:
    """Return (number, 2) cluster centres of sizes.

    Width and height are divided by their standard deviations before the clustering.
    """
    spread = wh.std(0)
    spread[spread == 0] = 1  # all boxes have the same width or height
    cv2.setRNGSeed(seed)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 1e-3)
    labels: Any = None
    _, _, centres = cv2.kmeans(wh / spread, number, labels, criteria, 3, cv2.KMEANS_PP_CENTERS)
    clusters: Floats = np.asarray(centres, dtype=np.float32) * spread
    return clusters


def _mutate(boxes: Floats, anchors: Floats, threshold: float, generator: np.random.Generator) -> Floats:
    """Return the best anchors of `MUTATIONS` mutations.

    Sizes (n, 2) and (A, 2) are given and returned as logarithms.
    """

    def fitness(candidate: Floats) -> float:
        """Return the mean fit of the boxes."""
        misfit = _log_misfit(boxes, candidate)
        return float(np.where(misfit < math.log(threshold), np.exp(-misfit), 0).mean())

    best = fitness(anchors)
    for _ in range(MUTATIONS):
        size = generator.random() * MUTATION_SCALE
        change = size * generator.standard_normal(anchors.shape, dtype=np.float32)
        change[generator.random(anchors.shape) >= MUTATED_FRACTION] = 0
        candidate = (anchors + np.log(np.clip(1 + change, *MUTATION_RANGE))).astype(np.float32)
        fit = fitness(candidate)
        if fit > best:
            best, anchors = fit, candidate
    return anchors
