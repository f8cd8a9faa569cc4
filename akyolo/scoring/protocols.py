"""Score by the name of a protocol.

Programs compute different numbers from the same detections, so every number names its protocol.
"""

from collections.abc import Callable, Mapping
from functools import partial

from akyolo.errors import ConfigError, DatasetError, did_you_mean
from akyolo.scoring.coco import score_coco
from akyolo.scoring.detections import Detections
from akyolo.scoring.ground_truth import GroundTruth
from akyolo.scoring.precision_recall import score_by_rules
from akyolo.scoring.score import Metrics, Score
from akyolo.scoring.visdrone import score_visdrone
from akyolo.scoring.yolo_family import ULTRALYTICS, YOLOV5, YOLOV5_SMOOTH, YOLOV7

# name -> detections, ground truth -> metrics, and by class
PROTOCOLS: dict[str, Callable[[Detections, GroundTruth], tuple[Metrics, Mapping[str, Metrics]]]] = {
    "coco": score_coco,
    "yolov5": partial(score_by_rules, YOLOV5),
    "yolov5-smooth": partial(score_by_rules, YOLOV5_SMOOTH),
    "yolov7": partial(score_by_rules, YOLOV7),
    "ultralytics": partial(score_by_rules, ULTRALYTICS),
    "visdrone": score_visdrone,
}


def headline(protocol: str) -> tuple[str, str]:
    """Return the names of the two metrics that a table shows.

    The first is the average precision at IoU 0.5, the second its mean over all IoUs.

    Example:
        >>> headline("coco"), headline("yolov5")
        (('AP50', 'AP'), ('mAP50', 'mAP'))
    """
    return ("AP50", "AP") if protocol in {"coco", "visdrone"} else ("mAP50", "mAP")


def check_protocol(name: str) -> None:
    """Refuse the name of an unknown protocol.

    Raises:
        ConfigError: there is no such protocol; it names the closest.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"there is no protocol {name!r}", remedy=did_you_mean(str(name), PROTOCOLS))


def score(protocol: str, detections: Detections, ground_truth: GroundTruth) -> Score:
    """Score detections.

    Args:
        protocol: one of `PROTOCOLS`.
        detections: in the same images, in the same order, as `ground_truth`.
        ground_truth: objects of these images.

    Raises:
        ConfigError: there is no such protocol.
        DatasetError: there is no object to find, or two classes have the same name.
    """
    check_protocol(protocol)
    names, images = ground_truth.names, len(ground_truth.images)
    if len(set(names)) < len(names):
        raise DatasetError(f"two of the classes {', '.join(names)} have one name", location=detections.data)
    metrics, per_class = PROTOCOLS[protocol](detections, ground_truth)
    if not per_class or (ground_truth.crowd | ground_truth.ignored).all():
        reason = f"none of the {images} images has an object to find under protocol {protocol}"
        raise DatasetError(reason, location=detections.data)
    nms = detections.nms or {}
    return Score(protocol, nms.get("iou"), nms.get("max_det"), ground_truth.sha256, images, metrics, per_class)
