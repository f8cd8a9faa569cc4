"""The protocols of YOLOv5, YOLOv7 and Ultralytics.

`YOLOV5` (github.com/ultralytics/yolov5, val.py and utils/metrics.py, tags v6.0 and v6.1, that of AKConv's Tables 3, 5
and 7): the first detection that overlaps an object by an IoU of 0.5 is matched with it at every IoU. P and R are read
at the raw maximum of mean F1. `YOLOV5_SMOOTH` (tag v6.2 and later): an object is matched at each IoU anew, and mean F1
is smoothed first. In both, precision over recall falls on a line from the last detection to (1, 0).

`YOLOV7` (github.com/WongKinYiu/yolov7, commit a207844, test.py and utils/metrics.py, without --v5-metric): as `YOLOV5`,
but an IoU must be above a threshold, not on it, and precision over recall falls on a line that ends one hundredth of
recall behind the last detection.

`ULTRALYTICS` (version 8.4.190, engine/validator.py and utils/metrics.py): at each IoU a detection is matched with the
object that it overlaps most among those still free; boxes are not cut at the edges of the image. Precision over recall
drops to 0 at the last detection. Mean F1 is smoothed before its maximum is taken.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from akyolo.scoring.matching import Pairs, best_free, first_choice
from akyolo.scoring.precision_recall import THRESHOLDS, Program


def _matched_once(reaches: Callable[..., NDArray[np.bool_]], pairs: Pairs, count: int) -> NDArray[np.bool_]:
    """Match at the lowest threshold; the match holds at every other that its IoU reaches."""
    correct = np.zeros((count, len(THRESHOLDS)), bool)
    matched = first_choice(pairs.at(reaches(pairs.iou, THRESHOLDS[0])))
    correct[matched.detection] = reaches(matched.iou[:, None], THRESHOLDS)
    return correct


def _matched_at_each(match: Callable[[Pairs], NDArray[np.integer]], pairs: Pairs, count: int) -> NDArray[np.bool_]:
    """Match at each threshold anew."""
    correct = np.zeros((count, len(THRESHOLDS)), bool)
    for column, threshold in enumerate(THRESHOLDS):
        correct[match(pairs.at(pairs.iou >= threshold)), column] = True
    return correct


def _first_detections(pairs: Pairs) -> NDArray[np.integer]:
    return first_choice(pairs).detection


def _line_to_the_end(last_recall: float) -> tuple[float, ...]:
    return (1.0,)


def _short_line(last_recall: float) -> tuple[float, ...]:
    return (last_recall + 0.01,)


def _drop(last_recall: float) -> tuple[float, ...]:
    return last_recall, 1.0


YOLOV5 = Program(partial(_matched_once, np.greater_equal), _line_to_the_end, clips=True, smooths=False)
YOLOV5_SMOOTH = Program(partial(_matched_at_each, _first_detections), _line_to_the_end, clips=True, smooths=True)
YOLOV7 = Program(partial(_matched_once, np.greater), _short_line, clips=True, smooths=False)
ULTRALYTICS = Program(partial(_matched_at_each, best_free), _drop, clips=False, smooths=True)
