"""Score detections under named evaluation protocols."""

from akyolo.scoring.detections import Detections
from akyolo.scoring.ground_truth import GroundTruth, from_coco_json, from_labels
from akyolo.scoring.score import Score

__all__ = ["Detections", "GroundTruth", "Score", "from_coco_json", "from_labels"]
