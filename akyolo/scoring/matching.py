"""Match detections with objects, for all images at once.

Both rules match the detection with the highest score first, and prefer the object with the largest overlap. They differ
in what happens to a detection whose preferred object is already matched.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PAIRS_AT_ONCE = 2_000_000  # limits the memory
UNMATCHED = np.iinfo(np.int64).max  # above every index, so that the minimum of both is the index


@dataclass(frozen=True)
class Pairs:
    """Pairs of detections and objects that overlap enough.

    Both are of the same image and class.

    Args:
        detection: (P,) index of the detection, ascending.
        object: (P,) index of the object.
        iou: (P,) overlap, descending for each detection.
    """

    detection: NDArray[np.integer]
    object: NDArray[np.integer]
    iou: NDArray[np.floating]

    def select(self, mask: NDArray[np.bool_]) -> "Pairs":
        """Return the pairs where `mask` (P,) is true."""
        return Pairs(self.detection[mask], self.object[mask], self.iou[mask])


def overlap(
    xyxy_px: NDArray[np.floating], other_xyxy_px: NDArray[np.floating], over_own_area: bool = False
) -> NDArray[np.floating]:
    """Return the overlap of boxes, row by row.

    Args:
        xyxy_px: (n, 4) corners of boxes.
        other_xyxy_px: (n, 4) corners of the boxes that they are compared with.
        over_own_area: divide the intersection by the area of the first box, not by that of the union.

    Returns:
        (n,) IoU, 0 for boxes without area.

    Example:
        >>> overlap(np.array([[0.0, 0, 4, 4]]), np.array([[0.0, 0, 4, 2]])).tolist()
        [0.5]
    """
    low = np.maximum(xyxy_px[:, :2], other_xyxy_px[:, :2])
    high = np.minimum(xyxy_px[:, 2:], other_xyxy_px[:, 2:])
    intersection = (high - low).clip(0).prod(axis=1)
    area = (xyxy_px[:, 2:] - xyxy_px[:, :2]).prod(axis=1)
    if not over_own_area:
        area = area + (other_xyxy_px[:, 2:] - other_xyxy_px[:, :2]).prod(axis=1) - intersection
    return np.divide(intersection, area, out=np.zeros_like(intersection), where=area > 0)


def find_pairs(
    group: NDArray[np.integer],
    xyxy_px: NDArray[np.floating],
    object_group: NDArray[np.integer],
    object_xyxy_px: NDArray[np.floating],
    min_overlap: float,
    over_own_area: bool = False,
    prefer_last: bool = False,
) -> Pairs:
    """Return the pairs that overlap enough.

    Args:
        group: (D,) image and class of the detections as one number, in the order of descending scores.
        xyxy_px: (D, 4) corners of the detections in pixels.
        object_group: (B,) image and class of the objects.
        object_xyxy_px: (B, 4) corners of the objects in pixels.
        min_overlap: smallest overlap of a pair.
        over_own_area: measure the overlap as a share of the detection's area, not as IoU.
        prefer_last: of two objects with the same overlap, put the last one first.

    Example:
        >>> boxes = np.array([[0.0, 0, 4, 4], [0, 0, 4, 2]])
        >>> find_pairs(np.array([0, 0]), boxes, np.array([0]), boxes[:1], min_overlap=0.4).iou.tolist()
        [1.0, 0.5]
    """
    order = np.argsort(object_group, kind="stable")
    first = np.searchsorted(object_group[order], group, "left")
    count = np.searchsorted(object_group[order], group, "right") - first
    parts = [Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    ends = np.cumsum(count)
    start = 0
    while start < len(group):
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + PAIRS_AT_ONCE, "right")), start + 1)
        counts = count[start:stop]
        detection = np.repeat(np.arange(start, stop), counts)
        within = np.arange(len(detection)) - np.repeat(np.cumsum(counts) - counts, counts)
        objects = order[first[detection] + within]
        iou = overlap(xyxy_px[detection], object_xyxy_px[objects], over_own_area)
        parts.append(Pairs(detection, objects, iou).select(iou >= min_overlap))
        start = stop
    joined = Pairs(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("detection", "object", "iou"))
    )
    by_preference = np.lexsort((-joined.object if prefer_last else joined.object, -joined.iou, joined.detection))
    return Pairs(joined.detection[by_preference], joined.object[by_preference], joined.iou[by_preference])


def match_first_preference(pairs: Pairs) -> Pairs:
    """Match detections with their first preference only.

    Each detection prefers the object with the largest overlap. An object is matched with the detection of the highest
    score that prefers it; the others stay unmatched.
    """
    preferred = pairs.select(_first_of_each(pairs.detection))
    return preferred.select(_first_of_each(preferred.object))


def match_best_free(pairs: Pairs) -> NDArray[np.integer]:
    """Match detections with the best free object.

    In the order of the scores, each detection is matched with the object with the largest overlap among those that are
    still free. This is greedy matching by score, vectorised as deferred acceptance: every object prefers the higher
    score, so the greedy matching is the only stable one. All candidates propose at once; those that are rejected or
    displaced propose again to their next preference. That takes a few rounds, not one step for each detection.

    Returns:
        The detections that are matched.
    """
    detections, first = np.unique(pairs.detection, return_index=True)
    end = np.append(first[1:], len(pairs.detection))
    preference = first.copy()  # the pair that each detection proposes next
    match = np.full(int(pairs.object.max(initial=-1)) + 1, UNMATCHED)  # by object, an index in `detections`
    candidates = np.arange(len(detections))
    while len(candidates):
        proposed = pairs.object[preference[candidates]]
        previous = match[proposed]
        np.minimum.at(match, proposed, candidates)  # the lower index has the higher score
        rejected = candidates[match[proposed] != candidates]
        displaced = previous[(previous != UNMATCHED) & (previous != match[proposed])]
        candidates = np.unique(np.concatenate((rejected, displaced)))
        preference[candidates] += 1
        candidates = candidates[preference[candidates] < end[candidates]]
    return detections[match[match != UNMATCHED]]


def _first_of_each(values: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Mark the first occurrence of each value."""
    first = np.zeros(len(values), bool)
    first[np.unique(values, return_index=True)[1]] = True
    return first
