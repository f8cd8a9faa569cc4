"""One process of two trainings, which writes down what it saw and what it holds; test_distributed.py launches it."""

import os
import sys
from pathlib import Path
from typing import Any

import torch

from akyolo import YOLO
from tests.helpers.tiny_training import arguments


class Witness:
    """What one rank does in the first epoch of one training."""

    def __init__(self, file: Path, exchange: bool) -> None:
        self.file, self.exchange = file, exchange
        self.images: list[str] = []
        self.steps = 0

    def on_train_start(self, trainer: Any) -> None:
        """Listen to batches and steps; without exchange, every rank trains alone."""
        trainer.model.require_backward_grad_sync = self.exchange
        preprocess, step = trainer.preprocess_batch, trainer.optimizer_step

        def preprocess_batch(batch: dict[str, Any]) -> dict[str, Any]:
            self.images += batch["im_file"]
            return preprocess(batch)

        def optimizer_step() -> None:
            step()
            self.steps += 1

        trainer.preprocess_batch, trainer.optimizer_step = preprocess_batch, optimizer_step

    def on_train_epoch_end(self, trainer: Any) -> None:
        """Write it down once."""
        if trainer.epoch == 0:
            torch.save(
                {
                    "images": self.images,
                    "steps": self.steps,
                    "parameters": [parameter.detach().clone() for parameter in trainer.model.parameters()],
                    "world_size": trainer.world_size,
                    "local_rank": os.environ["LOCAL_RANK"],
                    "save_dir": str(trainer.save_dir),
                },
                self.file,
            )


def main(folder: Path, trainings: int) -> None:
    """Train with the exchange of gradients, then, in the same processes, without."""
    for name, exchange in [("together", True), ("alone", False)][:trainings]:
        witness = Witness(folder / f"{name}-{os.environ['RANK']}.pt", exchange)
        model = YOLO(str(folder / "tiny.yaml"))
        for event in ("on_train_start", "on_train_epoch_end"):
            model.add_callback(event, getattr(witness, event))
        model.train(**arguments(folder, data=str(folder / "data.yaml")))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
