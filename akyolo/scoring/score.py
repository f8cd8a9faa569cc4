"""What a protocol says, and beside every number what it was measured with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Metrics = Mapping[str, float | None]
DIGITS = 12  # of a checksum, where it is shown


@dataclass(frozen=True)
class Score:
    """What one protocol says of detections, and what anybody needs to compare it.

    Args:
        protocol: its name.
        nms_iou: IoU above which non-maximum suppression dropped a box; None where nobody knows, or there was none.
        max_det: how many detections of an image were kept at most; None where nobody knows.
        labels_sha256: of the ground truth.
        images: how many.
        metrics: fractions, by the names of the protocol's program; None where it has nothing to measure.
        per_class: the same by class, of those that have objects.
    """

    protocol: str
    nms_iou: float | None
    max_det: int | None
    labels_sha256: str
    images: int
    metrics: Metrics
    per_class: Mapping[str, Metrics]


def table(scores: Sequence[Score]) -> str:
    """Two lines each: what it is measured with, and its numbers."""
    lines = []
    for one in scores:
        about = (
            f"NMS IoU {_known(one.nms_iou)}",
            f"max_det {_known(one.max_det)}",
            f"labels {one.labels_sha256[:DIGITS]}",
            f"{one.images} images",
        )
        values = (f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in one.metrics.items())
        lines += [f"{one.protocol:<14} {'  '.join(about)}", f"{'':<14} {'  '.join(values)}"]
    return "\n".join(lines)


def _known(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
