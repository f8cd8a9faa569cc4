"""Score by the VisDrone-DET toolkit (github.com/VisDrone/VisDrone2018-DET-toolkit, commit 0054457).

Its evalDET.m first drops objects and detections with half of their area or more in ignored regions, counted in pixels
of a map of the regions. Then it scores the best 500 detections of an image. A detection that matches no object counts
neither way if it lies within an ignored object (score 0) by a share of its own area that reaches the threshold. AP is
the whole area under the falling hull. As in the toolkit, regions reach one pixel beyond their width and height, and
ignored objects of a class count as missed (the published sets have none in the classes that are scored). Crowds, which
the toolkit does not have, are ignored and do not count as missed.

The toolkit takes the mean over a list that has a class once for each image with that class: AP, AP50, AP75, AR1 to
AR500. The mean that counts each class once has `_plain` after the name.
"""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from akyolo.scoring.detections import Detections
from akyolo.scoring.ground_truth import GroundTruth
from akyolo.scoring.matching import find_pairs, match_best_free
from akyolo.scoring.score import Metrics

THRESHOLDS = 0.5 + 0.05 * np.arange(10)
MAX_DETS = (1, 10, 100, 500)  # detections of an image
AT_50, AT_75 = 0, 5
MAX_COVERED = 0.5  # share of an area in ignored regions
HIT, MISS, NOT_COUNTED = 1, 0, -1  # states of a detection

Values = NDArray[np.floating]
Indices = NDArray[np.integer]


def score_visdrone(detections: Detections, ground_truth: GroundTruth) -> tuple[Metrics, Mapping[str, Metrics]]:
    """Return the metrics, and those by class.

    Args:
        detections: in the images of `ground_truth`, in the same order.
        ground_truth: objects and ignored regions of these images.

    Returns:
        AP, AP50, AP75, AR1, AR10, AR100 and AR500 as means over classes weighted by images, and with `_plain` as
        plain means; and the same of each class that has objects.
    """
    objects = _outside(ground_truth.xyxy_px, ground_truth.image, ground_truth)
    boxes, image = detections.results(ground_truth.sizes).astype(np.float64), detections.image
    best = np.lexsort((-detections.scores, image))
    best = best[_outside(boxes[best], image[best], ground_truth)]
    rank = _rank(image[best])
    scored = best[rank < MAX_DETS[-1]]
    by_score = np.argsort(-detections.scores[scored], kind="stable")
    scored, rank = scored[by_score], rank[rank < MAX_DETS[-1]][by_score]
    count = len(ground_truth.names)
    group = image[scored].astype(np.int64) * count + detections.classes[scored]
    object_group = ground_truth.image.astype(np.int64) * count + ground_truth.classes
    ignored = (ground_truth.ignored | ground_truth.crowd)[objects]
    state = _states(group, boxes[scored], object_group[objects], ground_truth.xyxy_px[objects], ignored)
    objects = objects[~ground_truth.crowd[objects]]
    classes, images = ground_truth.classes[objects], ground_truth.image[objects]
    per_class: dict[str, dict[str, float]] = {}
    weights = []
    for class_id, objects_of_class in zip(*np.unique(classes, return_counts=True), strict=True):
        mask = detections.classes[scored] == class_id
        per_class[ground_truth.names[class_id]] = _metrics(state[mask], rank[mask], int(objects_of_class))
        weights.append(len(np.unique(images[classes == class_id])))
    return _means(per_class, weights), per_class


def _means(per_class: Mapping[str, Mapping[str, float]], weights: list[int]) -> Metrics:
    """Return the means over the classes, weighted and plain."""
    names = list(next(iter(per_class.values()), {}))
    columns = {name: np.array([values[name] for values in per_class.values()]) for name in names}
    weighted = {name: float(np.average(values, weights=weights)) for name, values in columns.items()}
    return {**weighted, **{f"{name}_plain": float(values.mean()) for name, values in columns.items()}}


def _outside(xyxy_px: Values, image: Indices, ground_truth: GroundTruth) -> Indices:
    """Return the indices of boxes outside ignored regions.

    Less than half of their area lies within.
    """
    outside = np.ones(len(image), bool)
    for index in np.unique(ground_truth.region_image):
        in_image = image == index
        regions = ground_truth.region_xyxy_px[ground_truth.region_image == index]
        outside[in_image] = _covered(xyxy_px[in_image], regions, *ground_truth.sizes[index]) < MAX_COVERED
    return np.flatnonzero(outside)


def _covered(xyxy_px: Values, regions_xyxy_px: Values, width: int, height: int) -> Values:
    """Return the share of boxes in regions.

    It is counted in whole pixels, which start at 1 and are rounded as in the toolkit.

    Args:
        xyxy_px: (n, 4) corners of the boxes in pixels.
        regions_xyxy_px: (R, 4) corners of the regions in pixels.
        width: of the image in pixels.
        height: of the image in pixels.

    Returns:
        (n,) in [0, 1].
    """
    marked = np.zeros((height, width), np.uint8)
    for left, top, wide, tall in _pixels(regions_xyxy_px, rounded=False):
        marked[top - 1 : top + tall, left - 1 : left + wide] = 1
    sums = cv2.integral(marked)  # [y, x]: of the first y rows and x columns
    left, top, wide, tall = _pixels(xyxy_px, rounded=True).T
    x, y = left.clip(1, width), top.clip(1, height)
    right, bottom = (x + wide).clip(1, width), (y + tall).clip(1, height)
    inside = sums[y, x] + sums[bottom, right] - sums[y, right] - sums[bottom, x]
    return inside / (wide * tall)


def _pixels(xyxy_px: Values, rounded: bool) -> Indices:
    """Return left, top, width, height in whole pixels."""
    ltwh_px = np.concatenate((xyxy_px[:, :2], xyxy_px[:, 2:] - xyxy_px[:, :2]), axis=1)
    return np.maximum(1, np.floor(ltwh_px + (0.5 if rounded else 0))).astype(np.int64)


def _rank(image: Indices) -> Indices:
    """Return the rank of each detection within its image.

    Args:
        image: (D,) index of the image; the detections are sorted by image, then by descending score.
    """
    start = np.unique(image, return_index=True)[1]
    lengths = np.diff(np.append(start, len(image)))
    return np.arange(len(image)) - np.repeat(start, lengths)


def _states(
    group: Indices, boxes: Values, object_group: Indices, objects: Values, ignored: NDArray[np.bool_]
) -> Indices:
    """Return the state of each detection at each threshold.

    Args:
        group: (D,) image and class of the detections as one number, in the order of descending scores.
        boxes: (D, 4) corners of the detections in pixels.
        object_group: (B,) image and class of the objects.
        objects: (B, 4) corners of the objects in pixels.
        ignored: (B,) whether an object is ignored.

    Returns:
        (D, 10) of `HIT`, `MISS` or `NOT_COUNTED`.
    """
    state = np.full((len(group), len(THRESHOLDS)), MISS, np.int8)
    lowest = THRESHOLDS[0]
    pairs = find_pairs(group, boxes, object_group[~ignored], objects[~ignored], lowest, prefer_last=True)
    within_ignored = find_pairs(group, boxes, object_group[ignored], objects[ignored], lowest, over_own_area=True)
    for column, threshold in enumerate(THRESHOLDS):
        state[within_ignored.select(within_ignored.iou >= threshold).detection, column] = NOT_COUNTED
        state[match_best_free(pairs.select(pairs.iou >= threshold)), column] = HIT
    return state


def _metrics(state: Indices, rank: Indices, objects: int) -> dict[str, float]:
    """Return the metrics of one class.

    Args:
        state: (D, 10) as `_states` returns it, in the order of descending scores.
        rank: (D,) rank of each detection within its image.
        objects: number of objects.
    """
    hits, misses = (state == HIT).cumsum(axis=0), (state == MISS).cumsum(axis=0)
    recall, precision = hits / objects, hits / np.maximum(1, hits + misses)
    ap = np.array([_area(recall[:, t], precision[:, t]) for t in range(len(THRESHOLDS))])
    by_max_det = {f"AR{most}": (state[rank < most] == HIT).sum(axis=0) / objects for most in MAX_DETS}
    recalls = {name: float(values.mean()) for name, values in by_max_det.items()}
    return {"AP": float(ap.mean()), "AP50": float(ap[AT_50]), "AP75": float(ap[AT_75]), **recalls}


def _area(recall: Values, precision: Values) -> float:
    """Return the whole area under the hull."""
    hull = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * hull).sum())
