"""What a model costs, how fast it is, and how good: its detections, scored under named protocols."""

from akyolo.metrics.cost import Cost
from akyolo.metrics.detections import Detections
from akyolo.metrics.ground_truth import GroundTruth, from_coco_json, from_labels
from akyolo.metrics.score import Score

__all__ = ["Cost", "Detections", "GroundTruth", "Score", "from_coco_json", "from_labels"]
