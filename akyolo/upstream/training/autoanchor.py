"""Anchors that meet the boxes of the data set, before a training starts (YOLOv5's autoanchor)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from ultralytics.data.utils import exif_size
from ultralytics.engine.trainer import BaseTrainer
from ultralytics.utils import LOGGER
from ultralytics.utils.torch_utils import unwrap_model

from akyolo.heads.anchor_fit import best_possible_recall, fit_anchors

ENOUGH = 0.98  # of the boxes


class FittedAnchors(BaseTrainer):
    """A trainer that replaces the anchors of an anchor head where they meet too few boxes, and says so.

    Every process of a training comes to the same anchors: it sees the same labels, and the fit is seeded.
    """

    def _build_train_pipeline(self) -> None:
        """As upstream; once, since it is called again when memory runs out."""
        super()._build_train_pipeline()
        head: Any = unwrap_model(self.model).model[-1] if hasattr(unwrap_model(self.model), "model") else None
        if self.args.autoanchor and not self.resume and self.ema is None and hasattr(head, "anchors_px"):
            fit(head, box_sizes(self.train_loader.dataset.labels, self.args.imgsz), self.args.anchor_t)


def fit(head: Any, wh_px: NDArray[np.floating], anchor_t: float) -> None:
    """Check the anchors of `head` against boxes (n, 2), w and h in pixels; replace them in place if that is better."""
    recall = best_possible_recall(wh_px, head.anchors_px.cpu(), anchor_t)
    found = f"akyolo: the anchors can meet {recall:.1%} of {len(wh_px)} boxes (anchor_t={anchor_t:g})"
    if recall >= ENOUGH:
        LOGGER.info(found)
        return
    levels, per_level, _ = head.anchors_px.shape
    fitted = fit_anchors(wh_px, levels, per_level, anchor_t)
    reached = 0.0 if fitted is None else best_possible_recall(wh_px, fitted, anchor_t)
    if fitted is None or reached <= recall:
        LOGGER.warning(f"{found}, and none were found that meet more; they stay as they are")
        return
    head.anchors_px.copy_(fitted)
    LOGGER.info(f"{found}, now {reached:.1%} with anchors of their own, w and h in pixels by level:")
    for level in fitted.tolist():
        LOGGER.info("akyolo:   " + ", ".join(f"{w:g},{h:g}" for w, h in level))


def _size(file: str) -> tuple[int, int]:
    """Height and width of an image, from its header; where upstream has thrown them away, for `rect=True`."""
    with Image.open(file) as image:
        width, height = exif_size(image)
    return height, width


def box_sizes(labels: list[dict[str, Any]], imgsz: int) -> NDArray[np.floating]:
    """(n, 2): w and h in pixels of all boxes of a data set, its images scaled to `imgsz` on their longer side."""
    sizes = []
    for label in labels:
        height, width = label["shape"] if "shape" in label else _size(label["im_file"])
        sizes.append(label["bboxes"][:, 2:4] * np.array([width, height]) * (imgsz / max(height, width)))
    return np.concatenate(sizes) if sizes else np.zeros((0, 2))
