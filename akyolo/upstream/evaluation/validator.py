"""Upstream's validators: `max_det` is what the user said, and an image that NMS had no time for is an error.

`StoringValidator` also leaves the detections in its results folder, for any protocol.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ultralytics.models import yolo
from ultralytics.utils import LOGGER, nms

from akyolo.errors import DatasetError, EvaluationError
from akyolo.files import AtomicPath
from akyolo.scoring.detections import FILE, Detections
from akyolo.upstream.evaluation.dataset import image_names, images_used, names_of, read_truth
from akyolo.upstream.patches.replacing import replaced


class _OutOfTime:
    """In the place of the logger of NMS, whose only word is that it gave up on the rest of a batch."""

    def warning(self, message: str) -> None:
        raise EvaluationError(
            f"{message}: the images after it would count as empty",
            remedy="give a smaller batch=, a larger conf=, or another device=",
        )


class HonestNMS(yolo.detect.DetectionValidator):
    """What our validators do beyond upstream's. Relies on `nms.LOGGER` being asked for at each call."""

    @staticmethod
    def _check_max_det(args: Any, datasets: dict[str, Any]) -> None:
        """Upstream raises a limit of 300 by itself, which it takes for one that nobody gave; here it only says so."""
        labels = (label for dataset in datasets.values() for label in getattr(dataset, "labels", ()))
        most = max((len(label["cls"]) for label in labels), default=0)
        if most > args.max_det:
            LOGGER.warning(f"akyolo: images hold up to {most} objects: max_det={args.max_det} caps recall")

    def postprocess(self, preds: Any) -> Any:
        """As upstream.

        Raises:
            EvaluationError: its NMS ran out of time, and left the rest of the batch without detections.
        """
        with replaced(nms, LOGGER=_OutOfTime()):
            return super().postprocess(preds)


class DetectionValidator(HonestNMS, yolo.detect.DetectionValidator):
    """Detection."""


class SegmentationValidator(HonestNMS, yolo.segment.SegmentationValidator):
    """Instance segmentation."""


class PoseValidator(HonestNMS, yolo.pose.PoseValidator):
    """Pose estimation."""


class OBBValidator(HonestNMS, yolo.obb.OBBValidator):
    """Oriented boxes."""


VALIDATORS: dict[type, type] = {
    ours.__bases__[1]: ours for ours in (DetectionValidator, SegmentationValidator, PoseValidator, OBBValidator)
}


class StoringValidator(DetectionValidator):
    """Detection; the boxes of each image are kept as they are, in pixels of the original image, not clipped to it."""

    found: dict[str, tuple[Any, ...]]

    def init_metrics(self, model: torch.nn.Module) -> None:
        """As upstream; and whatever would stop the scoring later stops it here.

        Raises:
            DatasetError: upstream left images out, which it does with a warning; the classes are in another order; or
                there is no ground truth for these images.
        """
        super().init_metrics(model)
        self.found = {}
        split, (ours, theirs) = self.args.split, (names_of(names) for names in (self.names, self.data["names"]))
        renamed = [(one, other) for one, other in zip(ours, theirs, strict=False) if one != other]
        if any(one in theirs for one, _ in renamed):
            raise DatasetError(
                f"has the classes of the model in another order: {', '.join(theirs)}",
                location=str(self.args.data),
                remedy=f"the model was trained on {', '.join(ours)}",
            )
        if renamed:
            one, other = renamed[0]
            LOGGER.warning(
                f"akyolo: {len(renamed)} classes have another name than the model's: {one!r} is {other!r} here"
            )
        there = images_used(self.args.data, self.args.fraction, split)[split]
        if missing := there - len(self.dataloader.dataset.im_files):
            raise DatasetError(
                f"{missing} of {there} images, or their labels, cannot be used: they would not count",
                location=str(self.args.data),
                remedy="the messages above name them",
            )
        images = image_names(self.args.data, self.dataloader.dataset.im_files)
        read_truth(self.args.data, split, images, np.zeros((len(images), 2), np.int32))

    def update_metrics(self, preds: list[dict[str, torch.Tensor]], batch: dict[str, Any]) -> None:
        """As upstream."""
        super().update_metrics(preds, batch)
        for index, pred in enumerate(preds):
            (gain_y, gain_x), (pad_x, pad_y) = batch["ratio_pad"][index]
            letterboxed = pred["bboxes"].double().cpu().numpy()
            xyxy_px = (letterboxed - [pad_x, pad_y] * 2) / ([gain_x, gain_y] * 2)
            scores, classes = (pred[key].cpu().numpy() for key in ("conf", "cls"))
            self.found[batch["im_file"][index]] = (batch["ori_shape"][index], xyxy_px, scores, classes)

    def finalize_metrics(self) -> None:
        """As upstream, and the file."""
        super().finalize_metrics()
        (AtomicPath(self.save_dir) / FILE).write_bytes(self.detections().to_bytes())

    def detections(self) -> Detections:
        """What was found, images in the order of their names."""
        names = image_names(self.args.data, self.found)
        order = sorted(zip(names, self.found.values(), strict=True), key=lambda pair: pair[0])
        parts = [part for _, part in order]
        images = tuple(name for name, _ in order)
        sizes = np.array([(width, height) for (height, width), *_ in parts], np.int32)
        truth, from_json = read_truth(self.args.data, self.args.split, images, sizes)
        boxes, scores, classes = (np.concatenate([part[place] for part in parts]) for place in (1, 2, 3))
        weights = Path(str(self.args.model))
        return Detections(
            images=images,
            sizes=sizes,
            names=names_of(self.data["names"])[: 1 if self.args.single_cls else None],
            xyxy_px=boxes.reshape(-1, 4),
            scores=scores,
            classes=classes.astype(np.int32),
            image=np.repeat(np.arange(len(parts)), [len(part[2]) for part in parts]),
            nms={
                "conf": self.args.conf,
                "iou": None if self.end2end else self.args.iou,
                "max_det": self.args.max_det,
                "multi_label": not self.end2end,
                "agnostic": bool(self.args.agnostic_nms),
            },
            single_cls=bool(self.args.single_cls),
            only=None if self.args.classes is None else np.atleast_1d(self.args.classes).tolist(),
            model={
                "file": str(weights),
                "sha256": hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else None,
            },
            data=str(Path(self.data["yaml_file"]).resolve()),
            split=self.args.split,
            annotations=from_json,
            labels_sha256=truth.sha256,
        )
