"""Stop at a loss that is not finite."""

from typing import Any

from torch import Tensor
from ultralytics.engine.trainer import BaseTrainer
from ultralytics.utils.torch_utils import unwrap_model

from akyolo.errors import TrainingError
from akyolo.files import AtomicPath
from akyolo.upstream.weights.checkpoint import save_whole


class FiniteLoss(BaseTrainer):
    """A trainer that checks every loss.

    A loss that is not finite does not reach the weights.

    Ultralytics checks once an epoch. With `nan_recovery=True` its own recovery runs instead: it reloads last.pt, at
    most three times.
    """

    _loss: Tensor | None = None
    _batch: dict[str, Any]

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Preprocess as upstream; keep the batch.

        A dump of the step needs it.
        """
        self._batch = super().preprocess_batch(batch)
        return self._batch

    @property
    def loss(self) -> Tensor | None:
        """Return the loss of this step.

        Upstream sets it before the backward pass.
        """
        return self._loss

    @loss.setter
    def loss(self, value: Tensor | None) -> None:
        self._loss = value
        if value is not None and not self.args.nan_recovery and not bool(value.isfinite().all()):
            self._stop()

    def save_model(self) -> bool:
        """Refuse to save weights that are not finite.

        These are the averaged weights.

        Ultralytics would write zeros in their place. The last step of an epoch shows in no loss, so only the weights
        tell that it failed.

        Raises:
            TrainingError: averaged weights that are not finite; earlier files are untouched.
        """
        bad = [name for name, value in self.ema.ema.state_dict().items() if not value.isfinite().all()]
        if bad and not self.args.nan_recovery:
            raise TrainingError(
                f"after epoch {self.epoch + 1} {len(bad)} tensors of the model are not finite, {bad[0]} first",
                remedy="the checkpoint of the epoch before is kept; lower lr0, or write nan_recovery=True",
            )
        return super().save_model()

    def _stop(self) -> None:
        """Dump this step to a file, and raise."""
        dump = AtomicPath(self.save_dir) / "not_finite.pt"
        files = list(self._batch.get("im_file", []))
        state = {
            "model": unwrap_model(self.model).state_dict(),
            "batch": self._batch,
            "images": files,
            "epoch": self.epoch + 1,
            "loss": {name: float(value) for name, value in self.loss_items.items()},
        }
        save_whole(state, dump)
        raise TrainingError(
            f"the loss is not finite in epoch {state['epoch']}: {state['loss']}",
            location=", ".join(files[:3]) + (f" and {len(files) - 3} more images" if len(files) > 3 else ""),
            remedy=f"{dump} holds weights and batch of this step; nan_recovery=True continues as Ultralytics does",
        )
