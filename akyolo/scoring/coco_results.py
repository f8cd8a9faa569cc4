"""Read detections from COCO's format for results."""

import json
from pathlib import Path

import numpy as np

from akyolo.errors import ConfigError, first_line
from akyolo.scoring.detections import Detections
from akyolo.scoring.ground_truth import GroundTruth, from_coco_json


def read_coco_results(file: Path, annotations: Path) -> tuple[Detections, GroundTruth]:
    """Read results and their ground truth.

    Args:
        file: a list of {image_id, category_id, bbox, score}.
        annotations: the COCO json that these image and category ids come from.

    Raises:
        ConfigError: it is not such a list, or has ids that the ground truth does not have.
        DatasetError: the ground truth cannot be read.
    """
    ground_truth = from_coco_json(annotations)
    index_of_image = {image_id: index for index, image_id in enumerate(ground_truth.ids or ())}
    class_of_category = {category_id: index for index, category_id in enumerate(ground_truth.categories or ())}
    try:
        rows = json.loads(file.read_bytes())
        ltwh_px = np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
        detections = Detections(
            images=ground_truth.images,
            sizes=ground_truth.sizes,
            names=ground_truth.names,
            xyxy_px=np.concatenate((ltwh_px[:, :2], ltwh_px[:, :2] + ltwh_px[:, 2:]), axis=1),
            scores=np.array([row["score"] for row in rows], np.float64),
            classes=np.array([class_of_category[row["category_id"]] for row in rows], np.int32),
            image=np.array([index_of_image[row["image_id"]] for row in rows], np.int32),
            final=True,
        )
        if not (np.isfinite(ltwh_px).all() and ((detections.scores >= 0) & (detections.scores <= 1)).all()):
            raise ValueError("a box that is not finite, or a score that is not within 0 to 1")
    except KeyError as error:
        reason = f"{error} is an id that {annotations} does not have, or a key that a row lacks"
        raise ConfigError(reason, location=str(file)) from None
    except (OSError, TypeError, ValueError) as error:
        raise ConfigError(
            f"is not a COCO json of results ({first_line(error)})",
            location=str(file),
            remedy="it is a list of {image_id, category_id, bbox, score}",
        ) from None
    return detections, ground_truth
