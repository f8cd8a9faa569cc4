"""How Ultralytics scores (version 8.4.190, engine/validator.py and utils/metrics.py).

At each IoU a detection gets the object that it overlaps most among those still free; boxes are not cut at the edges of
the image. Precision over recall drops to 0 at the last detection. Mean F1 is smoothed before its maximum is taken.
"""

import numpy as np
from numpy.typing import NDArray

from akyolo.scoring.matching import Pairs, best_free
from akyolo.scoring.precision_recall import THRESHOLDS, Program


def _at_each(pairs: Pairs, count: int) -> NDArray[np.bool_]:
    right = np.zeros((count, len(THRESHOLDS)), bool)
    for column, threshold in enumerate(THRESHOLDS):
        right[best_free(pairs.at(pairs.iou >= threshold)), column] = True
    return right


def _drop(last_recall: float) -> tuple[float, ...]:
    return last_recall, 1.0


ULTRALYTICS = Program(_at_each, _drop, clips=False, smooths=True)
