"""Score by the protocol of COCO.

pycocotools computes the metrics, or faster-coco-eval if it is installed: the same numbers in less time.

pycocotools ignores crowds only, and would count other ignored objects (VOC's difficult ones). They get an area beyond
all of its area ranges: then it ignores the object, and the detection that matches it, in every range.
"""

import contextlib
import io
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from akyolo.scoring.detections import Detections
from akyolo.scoring.ground_truth import GroundTruth
from akyolo.scoring.score import Metrics

NAMES = ("AP", "AP50", "AP75", "APS", "APM", "APL", "AR1", "AR10", "AR100", "ARS", "ARM", "ARL")
MAX_DETS = [1, 10, 100]  # detections of a class in an image; without 100, pycocotools returns -1 for AP
BEYOND_ALL_AREAS = 1e12  # square pixels
AT_50, AT_75, ALL_AREAS, AT_100_DETECTIONS = 0, 5, 0, 2  # indices of `precision`


def score_coco(detections: Detections, ground_truth: GroundTruth) -> tuple[Metrics, Mapping[str, Metrics]]:
    """Return the twelve metrics of pycocotools.

    Args:
        detections: in the images of `ground_truth`, in the same order.
        ground_truth: objects of these images.

    Returns:
        Metrics by `NAMES`, None where there is no object to measure; and AP, AP50 and AP75 of each class with objects.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = evaluate(detections, ground_truth, fast=find_spec("faster_coco_eval") is not None)
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, ALL_AREAS, AT_100_DETECTIONS]  # (T, R, K)
    per_class = {}
    for class_id, name in enumerate(ground_truth.names):
        values = precision[:, :, class_id]
        if (values > -1).all():
            per_class[name] = {
                "AP": float(values.mean()),
                "AP50": float(values[AT_50].mean()),
                "AP75": float(values[AT_75].mean()),
            }
    numbers = np.asarray(evaluation.stats)[: len(NAMES)]
    return {name: float(v) if v >= 0 else None for name, v in zip(NAMES, numbers, strict=True)}, per_class


def evaluate(detections: Detections, ground_truth: GroundTruth, fast: bool) -> Any:
    """Return a `COCOeval` that has evaluated, accumulated and summarized.

    Args:
        detections: clipped as `Detections.results` does.
        ground_truth: objects of the same images.
        fast: use faster-coco-eval; else pycocotools.
    """
    if fast:
        from faster_coco_eval import COCO
        from faster_coco_eval import COCOeval_faster as Evaluation
    else:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval as Evaluation
    expected, results = COCO(), COCO()
    images = [{"id": i, "width": int(w), "height": int(h)} for i, (w, h) in enumerate(ground_truth.sizes)]
    categories = [{"id": class_id, "name": name} for class_id, name in enumerate(ground_truth.names)]
    expected.dataset = {"images": images, "categories": categories, "annotations": _objects(ground_truth)}
    results.dataset = {"images": images, "categories": categories, "annotations": _results(detections, ground_truth)}
    expected.createIndex()
    results.createIndex()
    evaluation = Evaluation(expected, results, "bbox")
    evaluation.params.maxDets = MAX_DETS
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation


def _objects(ground_truth: GroundTruth) -> list[dict[str, Any]]:
    """Return the objects as COCO annotations."""
    area = np.where(ground_truth.ignored & ~ground_truth.crowd, BEYOND_ALL_AREAS, ground_truth.area)
    crowd = ground_truth.crowd.astype(int)
    return _annotations(ground_truth.xyxy_px, ground_truth.image, ground_truth.classes, area=area, iscrowd=crowd)


def _results(detections: Detections, ground_truth: GroundTruth) -> list[dict[str, Any]]:
    """Return the detections as COCO results."""
    xyxy_px = detections.results(ground_truth.sizes).astype(np.float64)
    area = (xyxy_px[:, 2:] - xyxy_px[:, :2]).prod(axis=1)
    return _annotations(xyxy_px, detections.image, detections.classes, area=area, score=detections.scores)


def _annotations(
    xyxy_px: NDArray[np.floating], image: NDArray[np.integer], classes: NDArray[np.integer], **columns: NDArray[Any]
) -> list[dict[str, Any]]:
    """Return one dictionary for each box, in COCO's keys.

    Args:
        xyxy_px: (n, 4) corners in pixels.
        image: (n,) index of the image.
        classes: (n,) class ids.
        columns: (n,) more values, by key.
    """
    ltwh_px = np.concatenate((xyxy_px[:, :2], xyxy_px[:, 2:] - xyxy_px[:, :2]), axis=1)
    ids = np.arange(1, len(image) + 1)  # pycocotools takes the id 0 for "no match"
    columns = {"id": ids, "image_id": image, "category_id": classes, "bbox": ltwh_px, **columns}
    columns = {"iscrowd": np.zeros(len(image), int), **columns}
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]
