"""Score by precision and recall, as the YOLO family.

AP is the area under the hull of precision over recall, read at 101 recalls. P and R are read at one score out of 1000:
where the mean F1 of all classes is highest. `Rules` has what differs between the protocols.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from akyolo.scoring.detections import Detections, clip
from akyolo.scoring.ground_truth import GroundTruth
from akyolo.scoring.matching import Pairs, find_pairs
from akyolo.scoring.score import Metrics

THRESHOLDS = np.linspace(0.5, 0.95, 10, dtype=np.float32)  # of IoU, in float32 as torch has them
AT_50, AT_75 = 0, 5
RECALLS, SCORES = np.linspace(0, 1, 101), np.linspace(0, 1, 1000)
TINY = 1e-16  # avoids 0 / 0

Values = NDArray[np.floating]


@dataclass(frozen=True)
class Rules:
    """Differences between the protocols of the YOLO family.

    Args:
        match: pairs and the number of detections -> (D, 10), whether each is right at each of `THRESHOLDS`.
        tail: the last recall -> the recalls that follow it, at precision 0.
        clips: whether boxes are clipped to the image first.
        smooths: whether the mean F1 is smoothed over a tenth of the scores before its maximum is taken.
    """

    match: Callable[[Pairs, int], NDArray[np.bool_]]
    tail: Callable[[float], tuple[float, ...]]
    clips: bool
    smooths: bool


def score_by_rules(
    rules: Rules, detections: Detections, ground_truth: GroundTruth
) -> tuple[Metrics, Mapping[str, Metrics]]:
    """Return the metrics, and those by class.

    Args:
        rules: those of the protocol.
        detections: in the images of `ground_truth`, in the same order.
        ground_truth: objects of these images.

    Returns:
        P, R, mAP50, mAP75 and mAP; and P, R, AP50, AP75 and AP of each class that has objects.
    """
    objects, classes, image = _objects(ground_truth)
    order = np.argsort(-detections.scores, kind="stable")
    boxes: Values = detections.xyxy_px.astype(np.float64)
    if rules.clips:
        boxes, objects = clip(boxes, ground_truth.sizes[detections.image]), clip(objects, ground_truth.sizes[image])
    count = len(ground_truth.names)
    group = detections.image.astype(np.int64) * count + detections.classes
    object_group = image.astype(np.int64) * count + classes
    pairs = find_pairs(group[order], boxes[order], object_group, objects, float(THRESHOLDS[0]) - 1e-6)
    correct = rules.match(Pairs(pairs.detection, pairs.object, pairs.iou.astype(np.float32)), len(order))
    class_ids, counts = np.unique(classes, return_counts=True)
    if not len(class_ids):
        return {}, {}
    precision, recall = np.zeros((2, len(class_ids), len(SCORES)))
    ap = np.zeros((len(class_ids), len(THRESHOLDS)))
    for row, (class_id, objects_of_class) in enumerate(zip(class_ids, counts, strict=True)):
        mask = detections.classes[order] == class_id
        if mask.any():
            scores = detections.scores[order][mask]
            precision[row], recall[row], ap[row] = _curves(scores, correct[mask], objects_of_class, rules.tail)
    best = _best_score(precision, recall, rules.smooths)
    columns = {"P": precision[:, best], "R": recall[:, best]}
    columns |= {"AP50": ap[:, AT_50], "AP75": ap[:, AT_75], "AP": ap.mean(axis=1)}
    per_class = {
        ground_truth.names[class_id]: {name: float(values[row]) for name, values in columns.items()}
        for row, class_id in enumerate(class_ids)
    }
    return {name.replace("AP", "mAP"): float(values.mean()) for name, values in columns.items()}, per_class


def _objects(ground_truth: GroundTruth) -> tuple[Values, NDArray[np.integer], NDArray[np.integer]]:
    """Return the scored objects.

    These protocols have no crowds and no ignored objects, and read label files, where each object stands once, has an
    area and lies within its image. Objects of a COCO json are clipped to their image.

    Returns:
        Corners (n, 4) in pixels, class ids (n,) and indices of the images (n,).
    """
    xyxy_px = ground_truth.xyxy_px
    if ground_truth.ids is not None:
        xyxy_px = clip(xyxy_px, ground_truth.sizes[ground_truth.image])
    has_area = (xyxy_px[:, 2:] > xyxy_px[:, :2]).all(axis=1)
    scored = np.flatnonzero(has_area & ~ground_truth.crowd & ~ground_truth.ignored)
    rows = np.column_stack((ground_truth.image[scored], ground_truth.classes[scored], xyxy_px[scored]))
    scored = scored[np.sort(np.unique(rows, axis=0, return_index=True)[1])]
    return xyxy_px[scored], ground_truth.classes[scored], ground_truth.image[scored]


def _curves(
    scores: Values, correct: NDArray[np.bool_], objects: int, tail: Callable[[float], tuple[float, ...]]
) -> tuple[Values, Values, Values]:
    """Return the curves of one class.

    Args:
        scores: (D,) in descending order.
        correct: (D, 10) whether each detection is right at each of `THRESHOLDS`.
        objects: number of objects.
        tail: as of `Rules`.

    Returns:
        Precision (1000,) and recall (1000,) at IoU 0.5 over `SCORES`, and AP (10,) over `THRESHOLDS`.
    """
    hits, misses = correct.cumsum(axis=0), (~correct).cumsum(axis=0)
    recall, precision = hits / objects, hits / (hits + misses)
    by_score = (
        np.interp(-SCORES, -scores, values[:, AT_50], left=left) for values, left in ((precision, 1), (recall, 0))
    )
    areas = [_area(recall[:, t], precision[:, t], tail(recall[-1, t])) for t in range(len(THRESHOLDS))]
    return (*by_score, np.array(areas))  # type: ignore[return-value]


def _area(recall: Values, precision: Values, tail: tuple[float, ...]) -> float:
    """Return the area under the hull."""
    x = np.concatenate(([0.0], recall, tail))
    y = np.concatenate(([1.0], precision, np.zeros(len(tail))))
    hull = np.maximum.accumulate(y[::-1])[::-1]
    return float(np.trapezoid(np.interp(RECALLS, x, hull), RECALLS))


def _best_score(precision: Values, recall: Values, smooths: bool) -> int:
    """Return the index in `SCORES` of the best F1."""
    f1 = (2 * precision * recall / (precision + recall + TINY)).mean(axis=0)
    if smooths:
        reach = len(f1) // 20  # to each side; the values at both ends are repeated
        f1 = np.convolve(np.pad(f1, reach, mode="edge"), np.full(2 * reach + 1, 1 / (2 * reach + 1)), mode="valid")
    return int(f1.argmax())
