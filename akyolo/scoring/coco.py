"""How COCO scores: pycocotools, and where it is installed faster-coco-eval, which gives the same numbers sooner.

Objects that are ignored without being a crowd (VOC's difficult, which pycocotools would count) are given an area beyond
all of its ranges: in each of them it then ignores the object, and the detection that finds it.
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
BUDGETS = [1, 10, 100]  # detections of a class in an image; without 100 the first number is -1
BEYOND = 1e12  # square pixels
AT_50, AT_75, ALL_AREAS, LARGEST_BUDGET = 0, 5, 0, 2


def score_coco(found: Detections, truth: GroundTruth) -> tuple[Metrics, Mapping[str, Metrics]]:
    """The twelve numbers that pycocotools prints, and AP, AP50 and AP75 by class; None where there are no objects."""
    with contextlib.redirect_stdout(io.StringIO()):
        done = evaluated(found, truth, fast=find_spec("faster_coco_eval") is not None)
    precision = np.asarray(done.eval["precision"])[:, :, :, ALL_AREAS, LARGEST_BUDGET]  # (T, R, K)
    per_class = {}
    for kind, name in enumerate(truth.names):
        values = precision[:, :, kind]
        if (values > -1).all():
            per_class[name] = {
                "AP": float(values.mean()),
                "AP50": float(values[AT_50].mean()),
                "AP75": float(values[AT_75].mean()),
            }
    numbers = np.asarray(done.stats)[: len(NAMES)]
    return {name: float(v) if v >= 0 else None for name, v in zip(NAMES, numbers, strict=True)}, per_class


def evaluated(found: Detections, truth: GroundTruth, fast: bool) -> Any:
    """A finished `COCOeval`, or `COCOeval_faster`.

    Args:
        found: as `Detections.results` gives them.
        truth: what is there.
        fast: which of the two.
    """
    if fast:
        from faster_coco_eval import COCO
        from faster_coco_eval import COCOeval_faster as Evaluation
    else:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval as Evaluation
    there, results = COCO(), COCO()
    pictures = [{"id": i, "width": int(w), "height": int(h)} for i, (w, h) in enumerate(truth.sizes)]
    categories = [{"id": kind, "name": name} for kind, name in enumerate(truth.names)]
    there.dataset = {"images": pictures, "categories": categories, "annotations": _objects(truth)}
    results.dataset = {"images": pictures, "categories": categories, "annotations": _results(found, truth)}
    there.createIndex()
    results.createIndex()
    evaluation = Evaluation(there, results, "bbox")
    evaluation.params.maxDets = BUDGETS
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation


def _objects(truth: GroundTruth) -> list[dict[str, Any]]:
    area = np.where(truth.ignored & ~truth.crowd, BEYOND, truth.area)
    return _annotations(truth.xyxy_px, truth.image, truth.classes, area=area, iscrowd=truth.crowd.astype(int))


def _results(found: Detections, truth: GroundTruth) -> list[dict[str, Any]]:
    boxes = found.results(truth.sizes).astype(np.float64)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return _annotations(boxes, found.image, found.classes, area=area, score=found.scores)


def _annotations(
    xyxy_px: NDArray[np.floating], image: NDArray[np.integer], classes: NDArray[np.integer], **more: NDArray[Any]
) -> list[dict[str, Any]]:
    """Plain numbers in dictionaries; ids from 1, since 0 stands for no match."""
    ltwh_px = np.concatenate((xyxy_px[:, :2], xyxy_px[:, 2:] - xyxy_px[:, :2]), axis=1)
    columns = {"id": np.arange(1, len(image) + 1), "image_id": image, "category_id": classes, "bbox": ltwh_px, **more}
    columns = {"iscrowd": np.zeros(len(image), int), **columns}
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]
