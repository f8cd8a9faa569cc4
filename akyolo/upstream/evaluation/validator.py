"""Validate with the user's `max_det` and a complete NMS.

`StoringValidator` also stores the detections in its results folder, for every protocol.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ultralytics.models import yolo
from ultralytics.utils import LOGGER, nms

from akyolo.errors import DatasetError, EvaluationError
from akyolo.files import AtomicPath
from akyolo.scoring.detections import FILE, Detections
from akyolo.scoring.ground_truth import GroundTruth
from akyolo.upstream.evaluation.evaluation_set import EvaluationSet, class_names, image_names, read_evaluation_set
from akyolo.upstream.patches.replacing import replaced


class _TimeoutLogger:
    """Replace the logger of upstream's NMS.

    NMS logs one message: that it ran out of time, and skips the rest of the batch.
    """

    def warning(self, message: str) -> None:
        """Raise `EvaluationError` with the message of NMS."""
        raise EvaluationError(
            f"{message}: the images after it would count as empty",
            remedy="give a smaller batch=, a larger conf=, or another device=",
        )


class HonestNMS(yolo.detect.DetectionValidator):
    """Keep `max_det`, and refuse an incomplete NMS.

    It relies on `nms.LOGGER` being looked up at each call.
    """

    @staticmethod
    def _check_max_det(args: Any, datasets: dict[str, Any]) -> None:
        """Warn if images hold more objects than `max_det`.

        Upstream raises a limit of 300, since it cannot tell the default from a limit that the user gave.
        """
        labels = (label for dataset in datasets.values() for label in getattr(dataset, "labels", ()))
        most = max((len(label["cls"]) for label in labels), default=0)
        if most > args.max_det:
            LOGGER.warning(f"akyolo: images hold up to {most} objects: max_det={args.max_det} limits recall")

    def postprocess(self, preds: Any) -> Any:
        """Apply upstream's NMS.

        Args:
            preds: output of the model for a batch.

        Raises:
            EvaluationError: NMS ran out of time, and left the rest of the batch without detections.
        """
        with replaced(nms, LOGGER=_TimeoutLogger()):
            return super().postprocess(preds)


class DetectionValidator(HonestNMS, yolo.detect.DetectionValidator):
    """Validate a detector."""


class SegmentationValidator(HonestNMS, yolo.segment.SegmentationValidator):
    """Validate an instance segmentation model."""


class PoseValidator(HonestNMS, yolo.pose.PoseValidator):
    """Validate a pose estimation model."""


class OBBValidator(HonestNMS, yolo.obb.OBBValidator):
    """Validate a detector of oriented boxes."""


VALIDATORS: dict[type, type] = {
    ours.__bases__[1]: ours for ours in (DetectionValidator, SegmentationValidator, PoseValidator, OBBValidator)
}


class StoringValidator(DetectionValidator):
    """Validate a detector and store its detections.

    Boxes are stored in pixels of the original image, and are not clipped to it.

    Attributes:
        evaluation_set: images and annotations of the split; set before the first batch.
        ground_truth: objects of these images; set after the last batch.
        detections: detections in these images; set after the last batch.
    """

    evaluation_set: EvaluationSet
    ground_truth: GroundTruth
    detections: Detections
    _boxes: dict[str, tuple[Any, ...]]  # by image file
    _files: dict[str, str]  # by name of the image, in the order of the names

    @property
    def file(self) -> Path:
        """Return the file of the stored detections."""
        return Path(self.save_dir) / FILE

    def init_metrics(self, model: torch.nn.Module) -> None:
        """Initialise the metrics, and read the annotations.

        What would stop the scoring later is an error here, before the first batch.

        Args:
            model: the model that is validated.

        Raises:
            DatasetError: upstream has dropped images, which it reports with a warning; the classes are in another
                order; or there is no ground truth for these images.
        """
        super().init_metrics(model)
        self._boxes = {}
        self._check_class_order()
        dataset = self.dataloader.dataset
        listed = len(dataset.label_files)  # one for each image, before upstream drops those that it cannot use
        if missing := listed - len(dataset.im_files):
            raise DatasetError(
                f"{missing} of {listed} images, or their labels, cannot be used: they would not count",
                location=str(self.args.data),
                remedy="the messages above name them",
            )
        names = image_names(Path(self.data["path"]), dataset.im_files)
        self._files = dict(sorted(zip(names, dataset.im_files, strict=True)))
        self.evaluation_set = read_evaluation_set(self.data, self.args.split, list(self._files))

    def _check_class_order(self) -> None:
        """Refuse another order of the classes; warn of new names.

        Raises:
            DatasetError: a class of the model has another index in the data set.
        """
        expected, names = class_names(self.names), class_names(self.data["names"])
        renamed = [(old, new) for old, new in zip(expected, names, strict=False) if old != new]
        if any(old in names for old, _ in renamed):
            raise DatasetError(
                f"has the classes of the model in another order: {', '.join(names)}",
                location=str(self.args.data),
                remedy=f"the model was trained on {', '.join(expected)}",
            )
        if renamed:
            old, new = renamed[0]
            LOGGER.warning(
                f"akyolo: {len(renamed)} classes have another name than the model's: {old!r} is {new!r} here"
            )

    def update_metrics(self, preds: list[dict[str, torch.Tensor]], batch: dict[str, Any]) -> None:
        """Update the metrics, and keep the boxes of a batch.

        Args:
            preds: detections of each image, after NMS.
            batch: the batch.
        """
        super().update_metrics(preds, batch)
        for index, pred in enumerate(preds):
            (gain_y, gain_x), (pad_x, pad_y) = batch["ratio_pad"][index]
            letterboxed = pred["bboxes"].double().cpu().numpy()
            xyxy_px = (letterboxed - [pad_x, pad_y] * 2) / ([gain_x, gain_y] * 2)
            scores, classes = (pred[key].cpu().numpy() for key in ("conf", "cls"))
            self._boxes[batch["im_file"][index]] = (batch["ori_shape"][index], xyxy_px, scores, classes)

    def finalize_metrics(self) -> None:
        """Finish the metrics, and write the file of detections."""
        super().finalize_metrics()
        parts = [self._boxes[file] for file in self._files.values()]
        sizes = np.array([(width, height) for (height, width), *_ in parts], np.int32)
        self.ground_truth = self.evaluation_set.ground_truth(sizes)
        self.detections = self._detections(parts, sizes)
        AtomicPath(self.file).write_bytes(self.detections.to_bytes())

    def _detections(self, parts: list[tuple[Any, ...]], sizes: NDArray[np.integer]) -> Detections:
        """Join the boxes of all images.

        Args:
            parts: what `update_metrics` has kept of each image, in the order of their names.
            sizes: (I, 2) integers, width and height of each image in pixels.
        """
        boxes, scores, classes = (np.concatenate([part[place] for part in parts]) for place in (1, 2, 3))
        weights = Path(str(self.args.model))
        return Detections(
            images=self.evaluation_set.images,
            sizes=sizes,
            names=class_names(self.data["names"])[: 1 if self.args.single_cls else None],
            xyxy_px=boxes.reshape(-1, 4).astype(np.float32),  # as the file has them, so that scores are the same
            scores=scores.astype(np.float32),
            classes=classes.astype(np.int32),
            image=np.repeat(np.arange(len(parts), dtype=np.int32), [len(part[2]) for part in parts]),
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
            data=str(self.evaluation_set.data_yaml.resolve()),
            split=self.args.split,
            annotations=self.evaluation_set.annotations is not None,
            labels_sha256=self.ground_truth.sha256,
        )


def validate_and_store(validate: Callable[..., Any], arguments: Mapping[str, Any]) -> StoringValidator:
    """Validate, and return the validator with its detections.

    Args:
        validate: method `val` of upstream's model. It builds the validator and returns only its metrics.
        arguments: arguments of that method.
    """
    made: list[StoringValidator] = []

    def make(**settings: Any) -> StoringValidator:
        made.append(StoringValidator(**settings))
        return made[0]

    validate(validator=make, **arguments)
    return made[0]
