"""Detections of any program, in COCO's format for results."""

import json
from pathlib import Path

import numpy as np

from akyolo.errors import ConfigError, first_line
from akyolo.scoring.detections import Detections
from akyolo.scoring.ground_truth import GroundTruth, from_coco_json


def read_coco_results(file: Path, annotations: Path) -> tuple[Detections, GroundTruth]:
    """A list of {image_id, category_id, bbox, score}, and the ground truth that these ids are of.

    Raises:
        ConfigError: it is no such list, or has ids that the ground truth does not know.
        DatasetError: the ground truth cannot be read.
    """
    truth = from_coco_json(annotations)
    of_image = {one: index for index, one in enumerate(truth.ids or ())}
    of_class = {one: index for index, one in enumerate(truth.categories or ())}
    try:
        rows = json.loads(file.read_bytes())
        ltwh_px = np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
        found = Detections(
            images=truth.images,
            sizes=truth.sizes,
            names=truth.names,
            xyxy_px=np.concatenate((ltwh_px[:, :2], ltwh_px[:, :2] + ltwh_px[:, 2:]), axis=1),
            scores=np.array([row["score"] for row in rows], np.float64),
            classes=np.array([of_class[row["category_id"]] for row in rows], np.int32),
            image=np.array([of_image[row["image_id"]] for row in rows], np.int32),
            final=True,
        )
        if not (np.isfinite(ltwh_px).all() and ((found.scores >= 0) & (found.scores <= 1)).all()):
            raise ValueError("a box that is not finite, or a score that is not within 0 to 1")
    except KeyError as error:
        raise ConfigError(f"has no {error} that {annotations} knows", location=str(file)) from None
    except (OSError, TypeError, ValueError) as error:
        raise ConfigError(f"is no json of results ({first_line(error)})", location=str(file)) from None
    return found, truth
