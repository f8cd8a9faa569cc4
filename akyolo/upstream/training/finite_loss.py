"""A loss that is not finite stops the training at that step, with what is needed to see it again."""

from typing import Any

from torch import Tensor
from ultralytics.engine.trainer import BaseTrainer
from ultralytics.utils.torch_utils import unwrap_model

from akyolo.errors import TrainingError
from akyolo.files import AtomicPath, save


class FiniteLoss(BaseTrainer):
    """A trainer that looks at every loss before it reaches the weights; upstream looks once an epoch.

    With `nan_recovery=True` upstream's own way is left alone: reload last.pt, three times at most.
    """

    _loss: Tensor | None = None
    _batch: dict[str, Any]

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """As upstream; the batch is remembered for a dump."""
        self._batch = super().preprocess_batch(batch)
        return self._batch

    @property
    def loss(self) -> Tensor | None:
        """The loss of the present step, which upstream's training loop sets before it goes backward."""
        return self._loss

    @loss.setter
    def loss(self, value: Tensor | None) -> None:
        self._loss = value
        if value is not None and not self.args.nan_recovery and not bool(value.isfinite().all()):
            self._stop()

    def save_model(self) -> bool:
        """As upstream, which would write zeros for what is not finite: the last step of an epoch shows in no loss.

        Raises:
            TrainingError: averaged weights that are not finite; what was saved before is untouched.
        """
        bad = [name for name, value in self.ema.ema.state_dict().items() if not value.isfinite().all()]
        if bad and not self.args.nan_recovery:
            raise TrainingError(
                f"after epoch {self.epoch + 1} {len(bad)} tensors of the model are not finite, {bad[0]} first",
                remedy="the checkpoint of the epoch before is kept; lower lr0, or nan_recovery=True",
            )
        return super().save_model()

    def _stop(self) -> None:
        dump = AtomicPath(self.save_dir) / "not_finite.pt"
        files = list(self._batch.get("im_file", []))
        state = {
            "model": unwrap_model(self.model).state_dict(),
            "batch": self._batch,
            "images": files,
            "epoch": self.epoch + 1,
            "loss": {name: float(value) for name, value in self.loss_items.items()},
        }
        save(state, dump)
        raise TrainingError(
            f"the loss is not finite in epoch {state['epoch']}: {state['loss']}",
            location=", ".join(files[:3]) + (f" and {len(files) - 3} more images" if len(files) > 3 else ""),
            remedy=f"{dump} holds weights and batch of this step; nan_recovery=True goes on as Ultralytics would",
        )
