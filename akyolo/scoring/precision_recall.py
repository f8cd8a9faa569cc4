"""What the programs of the YOLO family have in common: curves of precision and recall, and the numbers they print.

Their AP is the area under the falling hull of precision over recall, read at 101 recalls; P and R stand at the one
score, of 1000, where the mean F1 of all classes is highest. How the hull ends, and what is done to F1, is theirs.
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
TINY = 1e-16  # keeps 0 / 0 at 0

Values = NDArray[np.floating]


@dataclass(frozen=True)
class Program:
    """What one program does its own way.

    Args:
        match: pairs and the number of detections -> (D, 10), whether each is right at each of `THRESHOLDS`.
        tail: the last recall -> the recalls that follow it, at precision 0.
        clips: whether boxes are cut at the edges of their image first.
        smooths: whether mean F1 goes through a box filter of a tenth of the scores before its maximum is taken.
    """

    match: Callable[[Pairs, int], NDArray[np.bool_]]
    tail: Callable[[float], tuple[float, ...]]
    clips: bool
    smooths: bool


def score_as(program: Program, found: Detections, truth: GroundTruth) -> tuple[Metrics, Mapping[str, Metrics]]:
    """P, R, mAP50, mAP75 and mAP; and by class P, R, AP50, AP75 and AP, of the classes that have objects."""
    objects, classes, image = _objects(truth)
    order = np.argsort(-found.scores, kind="stable")
    boxes: Values = found.xyxy_px.astype(np.float64)
    if program.clips:
        boxes, objects = clip(boxes, truth.sizes[found.image]), clip(objects, truth.sizes[image])
    kinds = len(truth.names)
    groups = found.image.astype(np.int64) * kinds + found.classes, image.astype(np.int64) * kinds + classes
    pairs = find_pairs(groups[0][order], boxes[order], groups[1], objects, float(THRESHOLDS[0]) - 1e-6)
    right = program.match(Pairs(pairs.detection, pairs.truth, pairs.iou.astype(np.float32)), len(order))
    present, counts = np.unique(classes, return_counts=True)
    if not len(present):
        return {}, {}
    precision, recall = np.zeros((2, len(present), len(SCORES)))
    ap = np.zeros((len(present), len(THRESHOLDS)))
    for place, (kind, count) in enumerate(zip(present, counts, strict=True)):
        of_kind = found.classes[order] == kind
        if of_kind.any():
            scores = found.scores[order][of_kind]
            precision[place], recall[place], ap[place] = _of_class(scores, right[of_kind], count, program.tail)
    best = _best_score(precision, recall, program.smooths)
    columns = {"P": precision[:, best], "R": recall[:, best]}
    columns |= {"AP50": ap[:, AT_50], "AP75": ap[:, AT_75], "AP": ap.mean(axis=1)}
    per_class = {
        truth.names[kind]: {name: float(values[place]) for name, values in columns.items()}
        for place, kind in enumerate(present)
    }
    return {name.replace("AP", "mAP"): float(values.mean()) for name, values in columns.items()}, per_class


def _objects(truth: GroundTruth) -> tuple[Values, NDArray[np.integer], NDArray[np.integer]]:
    """Corners, classes and images of what these programs know: single objects with an area, each once.

    Of a json, what its label files have: the part of each within its image.
    """
    xyxy_px = truth.xyxy_px if truth.ids is None else clip(truth.xyxy_px, truth.sizes[truth.image])
    has_area = (xyxy_px[:, 2:] > xyxy_px[:, :2]).all(axis=1)
    known = np.flatnonzero(has_area & ~truth.crowd & ~truth.ignored)
    rows = np.column_stack((truth.image[known], truth.classes[known], xyxy_px[known]))
    chosen = known[np.sort(np.unique(rows, axis=0, return_index=True)[1])]
    return xyxy_px[chosen], truth.classes[chosen], truth.image[chosen]


def _of_class(
    scores: Values, right: NDArray[np.bool_], objects: int, tail: Callable[[float], tuple[float, ...]]
) -> tuple[Values, Values, Values]:
    """Precision and recall at IoU 0.5 by `SCORES`, and AP by threshold."""
    hits, misses = right.cumsum(axis=0), (~right).cumsum(axis=0)
    recall, precision = hits / objects, hits / (hits + misses)
    by_score = (
        np.interp(-SCORES, -scores, values[:, AT_50], left=left) for values, left in ((precision, 1), (recall, 0))
    )
    areas = [_area(recall[:, t], precision[:, t], tail(recall[-1, t])) for t in range(len(THRESHOLDS))]
    return (*by_score, np.array(areas))  # type: ignore[return-value]


def _area(recall: Values, precision: Values, tail: tuple[float, ...]) -> float:
    x = np.concatenate(([0.0], recall, tail))
    y = np.concatenate(([1.0], precision, np.zeros(len(tail))))
    hull = np.maximum.accumulate(y[::-1])[::-1]
    return float(np.trapezoid(np.interp(RECALLS, x, hull), RECALLS))


def _best_score(precision: Values, recall: Values, smooths: bool) -> int:
    f1 = (2 * precision * recall / (precision + recall + TINY)).mean(axis=0)
    if smooths:
        reach = len(f1) // 20  # to each side; the ends are drawn on
        f1 = np.convolve(np.pad(f1, reach, mode="edge"), np.full(2 * reach + 1, 1 / (2 * reach + 1)), mode="valid")
    return int(f1.argmax())
