"""How YOLOv5 scores (github.com/ultralytics/yolov5, val.py and utils/metrics.py).

Tags v6.0 and v6.1 (`yolov5`, that of AKConv's Tables 3, 5 and 7): the first detection that wants an object at IoU 0.5
has it at every IoU; P and R are read at the raw maximum of mean F1. Tag v6.2 and later (`yolov5-smooth`): an object
goes to the first that wants it at each IoU anew, and mean F1 is smoothed first. In both, precision over recall falls on
a line from the last detection to (1, 0).
"""

import numpy as np
from numpy.typing import NDArray

from akyolo.scoring.matching import Pairs, first_choice
from akyolo.scoring.precision_recall import THRESHOLDS, Program


def _once(pairs: Pairs, count: int) -> NDArray[np.bool_]:
    right = np.zeros((count, len(THRESHOLDS)), bool)
    taken = first_choice(pairs.at(pairs.iou >= THRESHOLDS[0]))
    right[taken.detection] = taken.iou[:, None] >= THRESHOLDS
    return right


def _at_each(pairs: Pairs, count: int) -> NDArray[np.bool_]:
    right = np.zeros((count, len(THRESHOLDS)), bool)
    for column, threshold in enumerate(THRESHOLDS):
        right[first_choice(pairs.at(pairs.iou >= threshold)).detection, column] = True
    return right


def _line_to_the_end(last_recall: float) -> tuple[float, ...]:
    return (1.0,)


YOLOV5 = Program(_once, _line_to_the_end, clips=True, smooths=False)
YOLOV5_SMOOTH = Program(_at_each, _line_to_the_end, clips=True, smooths=True)
