"""How the VisDrone-DET toolkit scores (github.com/VisDrone/VisDrone2018-DET-toolkit, commit 0054457, evalDET.m).

Objects and detections with half of their area or more in ignored regions are dropped first, counted in pixels of a map
of the regions; then the best 500 detections of an image are scored. A detection that finds no object, but lies within
an ignored one (score 0) by the threshold's share of its own area, counts neither way. AP is the whole area under the
falling hull. As in the toolkit, regions reach one pixel beyond their width and height, and ignored objects of a class
count as missed (the published sets have none in the classes that are scored). Crowds, which the toolkit does not know,
are ignored and not missed.

The toolkit takes the mean over a list that has a class once for each image with that class: AP, AP50, AP75, AR1 to
AR500. The mean that counts each class once has `_plain` behind the name.
"""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from akyolo.scoring.detections import Detections
from akyolo.scoring.ground_truth import GroundTruth
from akyolo.scoring.matching import best_free, find_pairs
from akyolo.scoring.score import Metrics

THRESHOLDS = 0.5 + 0.05 * np.arange(10)
BUDGETS = (1, 10, 100, 500)  # detections of an image
AT_50, AT_75 = 0, 5
COVERED = 0.5  # of an area

Values = NDArray[np.floating]


def score_visdrone(found: Detections, truth: GroundTruth) -> tuple[Metrics, Mapping[str, Metrics]]:
    """AP, AP50, AP75, AR1, AR10, AR100 and AR500 over classes weighted by images, `_plain`, and by class."""
    objects = _outside(truth.xyxy_px, truth.image, truth)
    boxes, image = found.results(truth.sizes).astype(np.float64), found.image
    best = np.lexsort((-found.scores, image))
    best = best[_outside(boxes[best], image[best], truth)]
    rank = _rank(image[best])
    kept = best[rank < BUDGETS[-1]]
    by_score = np.argsort(-found.scores[kept], kind="stable")
    kept, rank = kept[by_score], rank[rank < BUDGETS[-1]][by_score]
    kinds = len(truth.names)
    groups = image[kept].astype(np.int64) * kinds + found.classes[kept]
    truth_groups = truth.image.astype(np.int64) * kinds + truth.classes
    ignored = (truth.ignored | truth.crowd)[objects]
    state = _states(groups, boxes[kept], truth_groups[objects], truth.xyxy_px[objects], ignored)
    objects = objects[~truth.crowd[objects]]
    classes, images = truth.classes[objects], truth.image[objects]
    present, counts = np.unique(classes, return_counts=True)
    per_class: dict[str, dict[str, float]] = {}
    weights = []
    for kind, count in zip(present, counts, strict=True):
        of_kind = found.classes[kept] == kind
        per_class[truth.names[kind]] = _of_class(state[of_kind], rank[of_kind], int(count))
        weights.append(len(np.unique(images[classes == kind])))
    return _means(per_class, weights), per_class


def _means(per_class: Mapping[str, Mapping[str, float]], weights: list[int]) -> Metrics:
    names = list(next(iter(per_class.values()), {}))
    columns = {name: np.array([values[name] for values in per_class.values()]) for name in names}
    weighted = {name: float(np.average(values, weights=weights)) for name, values in columns.items()}
    return {**weighted, **{f"{name}_plain": float(values.mean()) for name, values in columns.items()}}


def _outside(xyxy_px: Values, image: NDArray[np.integer], truth: GroundTruth) -> NDArray[np.integer]:
    """Which boxes have less than half of their area in ignored regions."""
    outside = np.ones(len(image), bool)
    for index in np.unique(truth.region_image):
        here = image == index
        regions = truth.region_xyxy_px[truth.region_image == index]
        outside[here] = _covered(xyxy_px[here], regions, *truth.sizes[index]) < COVERED
    return np.flatnonzero(outside)


def _covered(xyxy_px: Values, regions_xyxy_px: Values, width: int, height: int) -> Values:
    """(n,) shares of boxes that lie in regions, in whole pixels counted from 1, as the toolkit rounds them."""
    marked = np.zeros((height, width), np.uint8)
    for left, top, wide, tall in _pixels(regions_xyxy_px, rounded=False):
        marked[top - 1 : top + tall, left - 1 : left + wide] = 1
    sums = cv2.integral(marked)  # [y, x]: of the first y rows and x columns
    left, top, wide, tall = _pixels(xyxy_px, rounded=True).T
    x, y = left.clip(1, width), top.clip(1, height)
    right, bottom = (x + wide).clip(1, width), (y + tall).clip(1, height)
    inside = sums[y, x] + sums[bottom, right] - sums[y, right] - sums[bottom, x]
    return inside / (wide * tall)


def _pixels(xyxy_px: Values, rounded: bool) -> NDArray[np.integer]:
    ltwh_px = np.concatenate((xyxy_px[:, :2], xyxy_px[:, 2:] - xyxy_px[:, :2]), axis=1)
    return np.maximum(1, np.floor(ltwh_px + (0.5 if rounded else 0))).astype(np.int64)


def _rank(image: NDArray[np.integer]) -> NDArray[np.integer]:
    """Of each detection within its image; they come image by image, the best first."""
    start = np.unique(image, return_index=True)[1]
    lengths = np.diff(np.append(start, len(image)))
    return np.arange(len(image)) - np.repeat(start, lengths)


def _states(
    groups: NDArray[np.integer],
    boxes: Values,
    truth_groups: NDArray[np.integer],
    objects: Values,
    ignored: NDArray[np.bool_],
) -> NDArray[np.integer]:
    """(D, 10): 1 where a detection finds an object at a threshold, 0 where it is wrong, -1 where it does not count."""
    state = np.zeros((len(groups), len(THRESHOLDS)), np.int8)
    real = find_pairs(groups, boxes, truth_groups[~ignored], objects[~ignored], THRESHOLDS[0], last_wins=True)
    unreal = find_pairs(groups, boxes, truth_groups[ignored], objects[ignored], THRESHOLDS[0], of_detection=True)
    for column, threshold in enumerate(THRESHOLDS):
        state[unreal.at(unreal.iou >= threshold).detection, column] = -1
        state[best_free(real.at(real.iou >= threshold)), column] = 1
    return state


def _of_class(state: NDArray[np.integer], rank: NDArray[np.integer], objects: int) -> dict[str, float]:
    hits, misses = (state == 1).cumsum(axis=0), (state == 0).cumsum(axis=0)
    recall, precision = hits / objects, hits / np.maximum(1, hits + misses)
    ap = np.array([_area(recall[:, t], precision[:, t]) for t in range(len(THRESHOLDS))])
    within = {f"AR{budget}": (state[rank < budget] == 1).sum(axis=0) / objects for budget in BUDGETS}
    recalls = {name: float(values.mean()) for name, values in within.items()}
    return {"AP": float(ap.mean()), "AP50": float(ap[AT_50]), "AP75": float(ap[AT_75]), **recalls}


def _area(recall: Values, precision: Values) -> float:
    hull = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * hull).sum())
