"""Fit anchors to a data set.

YOLOv5 calls this autoanchor.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from ultralytics.data.utils import exif_size
from ultralytics.engine.trainer import BaseTrainer
from ultralytics.utils import LOGGER
from ultralytics.utils.torch_utils import unwrap_model

from akyolo.heads.anchor_fit import best_possible_recall, fit_anchors

ENOUGH = 0.98  # the share of boxes that given anchors must match


class FittedAnchors(BaseTrainer):
    """A trainer that fits anchors to boxes.

    It replaces anchors that match too few boxes.

    Every process of a training computes the same anchors: it reads the same labels, and the fit is seeded.
    """

    def _build_train_pipeline(self) -> None:
        """Build as upstream, then fit the anchors, once.

        Ultralytics calls this method again when memory runs out.
        """
        super()._build_train_pipeline()
        head: Any = unwrap_model(self.model).model[-1] if hasattr(unwrap_model(self.model), "model") else None
        if self.args.autoanchor and not self.resume and self.ema is None and hasattr(head, "anchors_px"):
            fit(head, box_sizes(self.train_loader.dataset.labels, self.args.imgsz), self.args.anchor_t)


def fit(head: Any, wh_px: NDArray[np.floating], anchor_t: float) -> None:
    """Replace anchors if others match more boxes.

    Args:
        head: an anchor head.
        wh_px: (n, 2), width and height of the boxes in pixels.
        anchor_t: an anchor matches a box if neither side differs by more than this factor.
    """
    recall = best_possible_recall(wh_px, head.anchors_px.cpu(), anchor_t)
    summary = f"akyolo: the anchors match {recall:.1%} of {len(wh_px)} boxes (anchor_t={anchor_t:g})"
    if recall >= ENOUGH:
        LOGGER.info(summary)
        return
    levels, per_level, _ = head.anchors_px.shape
    fitted = fit_anchors(wh_px, levels, per_level, anchor_t)
    reached = 0.0 if fitted is None else best_possible_recall(wh_px, fitted, anchor_t)
    if fitted is None or reached <= recall:
        LOGGER.warning(f"{summary}; no better anchors were found, so they stay as they are")
        return
    head.anchors_px.copy_(fitted)
    LOGGER.info(f"{summary}, now {reached:.1%} with fitted anchors; width and height in pixels by level:")
    for level in fitted.tolist():
        LOGGER.info("akyolo:   " + ", ".join(f"{w:g},{h:g}" for w, h in level))


def _size(file: str) -> tuple[int, int]:
    """Return height and width of an image.

    They come from its header.

    Ultralytics drops the sizes it has read when `rect=True`.
    """
    with Image.open(file) as image:
        width, height = exif_size(image)
    return height, width


def box_sizes(labels: list[dict[str, Any]], imgsz: int) -> NDArray[np.floating]:
    """Return the box sizes of a data set.

    Args:
        labels: as the data set of Ultralytics holds them, an entry for each image.
        imgsz: the longer side to which images are scaled, in pixels.

    Returns:
        (n, 2): width and height in pixels.
    """
    sizes = []
    for label in labels:
        height, width = label["shape"] if "shape" in label else _size(label["im_file"])
        sizes.append(label["bboxes"][:, 2:4] * np.array([width, height]) * (imgsz / max(height, width)))
    return np.concatenate(sizes) if sizes else np.zeros((0, 2))
