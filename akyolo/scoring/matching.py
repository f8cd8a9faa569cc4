"""Which detection finds which object, for all images at once.

Both rules go by score, the best first, and by IoU; they differ in what a detection does whose object is taken.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LARGEST = 2_000_000  # pairs at a time, for memory


@dataclass(frozen=True)
class Pairs:
    """Detections and objects of the same image and class that overlap enough.

    Args:
        detection: (P,) ascending.
        truth: (P,) which object.
        iou: (P,) of one detection, in descending order.
    """

    detection: NDArray[np.integer]
    truth: NDArray[np.integer]
    iou: NDArray[np.floating]

    def at(self, chosen: NDArray[np.bool_]) -> "Pairs":
        """A part, in the same order."""
        return Pairs(self.detection[chosen], self.truth[chosen], self.iou[chosen])


def overlaps(
    one_xyxy_px: NDArray[np.floating], other_xyxy_px: NDArray[np.floating], of_one: bool = False
) -> NDArray[np.floating]:
    """(n,) intersection over union of boxes (n, 4), row by row; `of_one`: over the area of the first alone."""
    low = np.maximum(one_xyxy_px[:, :2], other_xyxy_px[:, :2])
    high = np.minimum(one_xyxy_px[:, 2:], other_xyxy_px[:, 2:])
    shared = (high - low).clip(0).prod(axis=1)
    whole = (one_xyxy_px[:, 2:] - one_xyxy_px[:, :2]).prod(axis=1)
    if not of_one:
        whole = whole + (other_xyxy_px[:, 2:] - other_xyxy_px[:, :2]).prod(axis=1) - shared
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def find_pairs(
    group: NDArray[np.integer],
    xyxy_px: NDArray[np.floating],
    truth_group: NDArray[np.integer],
    truth_xyxy_px: NDArray[np.floating],
    least: float,
    of_detection: bool = False,
    last_wins: bool = False,
) -> Pairs:
    """All pairs of the same group whose overlap is `least` or more.

    Args:
        group: (D,) image and class of the detections, as one number; best score first.
        xyxy_px: (D, 4) their corners in pixels.
        truth_group: (B,) of the objects.
        truth_xyxy_px: (B, 4).
        least: overlap.
        of_detection: overlap as a share of the detection's own area, and not IoU.
        last_wins: of two objects that overlap alike, the last comes first.
    """
    order = np.argsort(truth_group, kind="stable")
    first = np.searchsorted(truth_group[order], group, "left")
    count = np.searchsorted(truth_group[order], group, "right") - first
    parts = [Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    ends = np.cumsum(count)
    start = 0
    while start < len(group):
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + LARGEST, "right")), start + 1)
        counts = count[start:stop]
        detection = np.repeat(np.arange(start, stop), counts)
        within = np.arange(len(detection)) - np.repeat(np.cumsum(counts) - counts, counts)
        truth = order[first[detection] + within]
        iou = overlaps(xyxy_px[detection], truth_xyxy_px[truth], of_detection)
        parts.append(Pairs(detection, truth, iou).at(iou >= least))
        start = stop
    joined = Pairs(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("detection", "truth", "iou")))
    by_wish = np.lexsort((-joined.truth if last_wins else joined.truth, -joined.iou, joined.detection))
    return Pairs(joined.detection[by_wish], joined.truth[by_wish], joined.iou[by_wish])


def first_choice(pairs: Pairs) -> Pairs:
    """Each detection wants the object that it overlaps most, which goes to the first that wants it: others get none."""
    wanted = pairs.at(_first_of_each(pairs.detection))
    return wanted.at(_first_of_each(wanted.truth))


def best_free(pairs: Pairs) -> NDArray[np.integer]:
    """The detections that get an object: each, in its turn, the one it overlaps most among those still free.

    That is the only stable marriage where all objects prefer the better score, so all detections may ask at once, and
    again where they were refused, until nobody asks: a few rounds, and not one step a detection.
    """
    asking, start = np.unique(pairs.detection, return_index=True)
    stop = np.append(start[1:], len(pairs.detection))
    wish = start.copy()  # by place in `asking`
    nobody = len(asking)
    holder = np.full(int(pairs.truth.max(initial=-1)) + 1, nobody)
    active = np.arange(nobody)
    while len(active):
        target = pairs.truth[wish[active]]
        before = holder[target]
        np.minimum.at(holder, target, active)
        refused = active[holder[target] != active]
        ousted = before[(before != nobody) & (before != holder[target])]
        active = np.unique(np.concatenate((refused, ousted)))
        wish[active] += 1
        active = active[wish[active] < stop[active]]
    return asking[holder[holder != nobody]]


def _first_of_each(values: NDArray[np.integer]) -> NDArray[np.bool_]:
    first = np.zeros(len(values), bool)
    first[np.unique(values, return_index=True)[1]] = True
    return first
