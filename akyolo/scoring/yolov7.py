"""How YOLOv7 scores (github.com/WongKinYiu/yolov7, commit a207844, test.py, utils/metrics.py), without --v5-metric.

The first detection that wants an object has it at every IoU; an IoU must be above a threshold, not on it. Precision
over recall falls on a line that ends one hundredth of recall behind the last detection. P and R are read at the raw
maximum of mean F1.
"""

import numpy as np
from numpy.typing import NDArray

from akyolo.scoring.matching import Pairs, first_choice
from akyolo.scoring.precision_recall import THRESHOLDS, Program


def _once(pairs: Pairs, count: int) -> NDArray[np.bool_]:
    right = np.zeros((count, len(THRESHOLDS)), bool)
    taken = first_choice(pairs.at(pairs.iou > THRESHOLDS[0]))
    right[taken.detection] = taken.iou[:, None] > THRESHOLDS
    return right


def _short_line(last_recall: float) -> tuple[float, ...]:
    return (last_recall + 0.01,)


YOLOV7 = Program(_once, _short_line, clips=True, smooths=False)
