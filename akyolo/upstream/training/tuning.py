"""Train for `tune` in this process.

The tuner of Ultralytics trains through its own command in another process, which can read neither our models nor our
arguments. This file relies on the tuner taking `MultiTrainer` from `ultralytics.engine.trainer` at each call.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ultralytics.engine import trainer as upstream_trainer
from ultralytics.engine.trainer import MultiTrainer

from akyolo.errors import TrainingError
from akyolo.upstream.patches.replacing import replaced

# (lowest, highest). The ranges of Ultralytics exclude the gains of YOLOv5 and YOLOv7: box 0.05, obj 0.7-1, cls 0.3-0.5.
ANCHOR_SPACE = {
    "lr0": (1e-5, 1e-1),
    "lrf": (0.01, 1.0),
    "momentum": (0.6, 0.98),
    "weight_decay": (0.0, 0.001),
    "warmup_epochs": (0.0, 5.0),
    "warmup_momentum": (0.0, 0.95),
    "box": (0.02, 0.2),
    "cls": (0.2, 4.0),
    "obj": (0.2, 4.0),
    "anchor_t": (2.0, 8.0),
    "hsv_h": (0.0, 0.1),
    "hsv_s": (0.0, 0.9),
    "hsv_v": (0.0, 0.9),
    "degrees": (0.0, 45.0),
    "translate": (0.0, 0.9),
    "scale": (0.0, 0.9),
    "shear": (0.0, 10.0),
    "fliplr": (0.0, 1.0),
    "mosaic": (0.0, 1.0),
    "mixup": (0.0, 1.0),
}


@contextmanager
def tuning_here(trainer: type) -> Iterator[None]:
    """Let the tuner train in this process.

    Raises:
        TrainingError: no training finished; Ultralytics has logged the reasons.
    """
    finished = []

    class InThisProcess(MultiTrainer):
        """One iteration of the search."""

        def __init__(self, _: None, *args: Any) -> None:
            """Take our trainer in place of a command."""
            super().__init__(trainer, *args)

        def train(self) -> Any:
            """Train as upstream; note whether the training finished."""
            metrics = super().train()
            finished.append(any(metrics.values()))
            return metrics

    with replaced(upstream_trainer, MultiTrainer=InThisProcess):
        yield
    if finished and not any(finished):
        raise TrainingError("no training of this search finished: the messages above say why")
