"""Protocols by name: other programs make other numbers of the same detections, so every number names its protocol."""

from collections.abc import Callable, Mapping
from functools import partial

from akyolo.errors import ConfigError, DatasetError, did_you_mean
from akyolo.scoring.coco import score_coco
from akyolo.scoring.detections import Detections
from akyolo.scoring.ground_truth import GroundTruth
from akyolo.scoring.precision_recall import score_as
from akyolo.scoring.score import Metrics, Score
from akyolo.scoring.visdrone import score_visdrone
from akyolo.scoring.yolo_family import ULTRALYTICS, YOLOV5, YOLOV5_SMOOTH, YOLOV7

# name -> detections, ground truth -> metrics, and by class
PROTOCOLS: dict[str, Callable[[Detections, GroundTruth], tuple[Metrics, Mapping[str, Metrics]]]] = {
    "coco": score_coco,
    "yolov5": partial(score_as, YOLOV5),
    "yolov5-smooth": partial(score_as, YOLOV5_SMOOTH),
    "yolov7": partial(score_as, YOLOV7),
    "ultralytics": partial(score_as, ULTRALYTICS),
    "visdrone": score_visdrone,
}


def headline(protocol: str) -> tuple[str, str]:
    """Which two of its numbers a table shows: the one at IoU 0.5, and the mean over all IoUs."""
    return ("AP50", "AP") if protocol in {"coco", "visdrone"} else ("mAP50", "mAP")


def check_protocol(name: str) -> None:
    """Refuse a protocol that is none.

    Raises:
        ConfigError: it names the closest.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"there is no protocol {name!r}", remedy=did_you_mean(str(name), PROTOCOLS))


def score(protocol: str, found: Detections, truth: GroundTruth) -> Score:
    """Score detections.

    Args:
        protocol: one of `PROTOCOLS`.
        found: in the same images, in the same order, as `truth`.
        truth: what is there.

    Raises:
        ConfigError: there is no such protocol.
        DatasetError: there is no object to find, or two classes have one name.
    """
    check_protocol(protocol)
    if len(set(truth.names)) < len(truth.names):
        raise DatasetError(f"two of the classes {', '.join(truth.names)} have one name", location=found.data)
    metrics, per_class = PROTOCOLS[protocol](found, truth)
    if not per_class or (truth.crowd | truth.ignored).all():
        what = f"none of the {len(truth.images)} images has an object to find under protocol {protocol}"
        raise DatasetError(what, location=found.data)
    nms = found.nms or {}
    return Score(protocol, nms.get("iou"), nms.get("max_det"), truth.sha256, len(truth.images), metrics, per_class)
