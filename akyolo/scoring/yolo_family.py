"""Define the protocols of YOLOv5, YOLOv7 and Ultralytics.

`YOLOV5` (github.com/ultralytics/yolov5, val.py and utils/metrics.py, tags v6.0 and v6.1, the protocol of Tables 3, 5
and 7 of the paper on AKConv): the first detection that overlaps an object by an IoU of 0.5 is matched with it at every
IoU. P and R are read at the maximum of the mean F1, which is not smoothed. `YOLOV5_SMOOTH` (tag v6.2 and later):
objects are matched at each IoU separately, and the mean F1 is smoothed first. In both, precision over recall falls on a
straight line from the last detection to (1, 0).

`YOLOV7` (github.com/WongKinYiu/yolov7, commit a207844, test.py and utils/metrics.py, without --v5-metric): as `YOLOV5`,
but an IoU must be above a threshold, not equal to it, and precision over recall falls on a line that ends one hundredth
of recall after the last detection.

`ULTRALYTICS` (version 8.4.190, engine/validator.py and utils/metrics.py): at each IoU a detection is matched with the
object that it overlaps most among those that are still free; boxes are not clipped to the image. Precision over recall
drops to 0 at the last detection. The mean F1 is smoothed before its maximum is taken.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from akyolo.scoring.matching import Pairs, match_best_free, match_first_preference
from akyolo.scoring.precision_recall import THRESHOLDS, Rules


def _match_once(reaches: Callable[..., NDArray[np.bool_]], pairs: Pairs, count: int) -> NDArray[np.bool_]:
    """Match once, at the lowest threshold.

    Args:
        reaches: compares IoUs with thresholds.
        pairs: candidates for a match.
        count: number of detections.

    Returns:
        (count, 10) whether each detection is right at each threshold: whether the IoU of its match reaches it.
    """
    correct = np.zeros((count, len(THRESHOLDS)), bool)
    matched = match_first_preference(pairs.select(reaches(pairs.iou, THRESHOLDS[0])))
    correct[matched.detection] = reaches(matched.iou[:, None], THRESHOLDS)
    return correct


def _match_at_each(match: Callable[[Pairs], NDArray[np.integer]], pairs: Pairs, count: int) -> NDArray[np.bool_]:
    """Match at each threshold; see `_match_once`."""
    correct = np.zeros((count, len(THRESHOLDS)), bool)
    for column, threshold in enumerate(THRESHOLDS):
        correct[match(pairs.select(pairs.iou >= threshold)), column] = True
    return correct


def _first_preferences(pairs: Pairs) -> NDArray[np.integer]:
    """Return the detections with a match."""
    return match_first_preference(pairs).detection


def _line_to_the_end(last_recall: float) -> tuple[float, ...]:
    """Let the precision fall to 0 at recall 1."""
    return (1.0,)


def _short_line(last_recall: float) -> tuple[float, ...]:
    """Let the precision fall to 0 within 0.01 of recall."""
    return (last_recall + 0.01,)


def _drop(last_recall: float) -> tuple[float, ...]:
    """Let the precision drop to 0 at once."""
    return last_recall, 1.0


YOLOV5 = Rules(partial(_match_once, np.greater_equal), _line_to_the_end, clips=True, smooths=False)
YOLOV5_SMOOTH = Rules(partial(_match_at_each, _first_preferences), _line_to_the_end, clips=True, smooths=True)
YOLOV7 = Rules(partial(_match_once, np.greater), _short_line, clips=True, smooths=False)
ULTRALYTICS = Rules(partial(_match_at_each, match_best_free), _drop, clips=False, smooths=True)
