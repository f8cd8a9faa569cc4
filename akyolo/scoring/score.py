"""Keep and print scores under a protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Metrics = Mapping[str, float | None]
DIGITS = 12  # of a checksum that is printed


@dataclass(frozen=True)
class Score:
    """Metrics under one protocol, and their conditions.

    Args:
        protocol: name of the protocol.
        nms_iou: IoU above which non-maximum suppression dropped a box; None if it is unknown, or there was no NMS.
        max_det: largest number of detections in an image; None if it is unknown.
        labels_sha256: checksum of the ground truth.
        images: number of images.
        metrics: fractions, by the names of the protocol's program; None where there is nothing to measure.
        per_class: the same for each class that has objects.
    """

    protocol: str
    nms_iou: float | None
    max_det: int | None
    labels_sha256: str
    images: int
    metrics: Metrics
    per_class: Mapping[str, Metrics]


def table(scores: Sequence[Score]) -> str:
    """Return conditions and metrics in two lines each.

    Example:
        >>> print(table([Score("coco", 0.7, 300, "0123456789abcdef", 5, {"AP": 0.51, "APS": None}, {})]))
        coco           NMS IoU 0.7  max_det 300  labels 0123456789ab  5 images
                       AP 0.510  APS -
    """
    lines = []
    for score in scores:
        conditions = (
            f"NMS IoU {_or_dash(score.nms_iou)}",
            f"max_det {_or_dash(score.max_det)}",
            f"labels {score.labels_sha256[:DIGITS]}",
            f"{score.images} images",
        )
        values = (f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in score.metrics.items())
        lines += [f"{score.protocol:<14} {'  '.join(conditions)}", f"{'':<14} {'  '.join(values)}"]
    return "\n".join(lines)


def _or_dash(value: float | None) -> str:
    """Return a number as text, or a dash."""
    return "-" if value is None else f"{value:g}"
