"""Write checkpoints whole.

The table of epochs agrees with them.
"""

from pathlib import Path
from typing import Any

from ultralytics.engine.trainer import BaseTrainer
from ultralytics.utils import LOCAL_RANK, LOGGER
from ultralytics.utils.torch_utils import strip_optimizer, torch_distributed_zero_first

from akyolo.errors import TrainingError
from akyolo.files import AtomicPath, keep_previous, remove_partial, replace
from akyolo.upstream.logs import silence
from akyolo.upstream.training.distributed import is_main_process


class AtomicCheckpoints(BaseTrainer):
    """A trainer that writes whole checkpoints.

    They are last.pt, the one before it, and best.pt.

    A kill or a full disk leaves the files that were there.
    """

    wdir: Path
    csv: Path

    def _setup_train(self) -> None:
        """Set up as upstream.

        The results folder is known by now.
        """
        self.wdir = AtomicPath(self.wdir)
        self.last, self.best = self.wdir / "last.pt", self.wdir / "best.pt"
        if is_main_process():
            remove_partial(self.wdir)
        super()._setup_train()

    def resume_training(self, ckpt: Any) -> None:
        """Resume, and restore `results.csv` from the checkpoint.

        A kill between the writing of the two files leaves a row too many.
        """
        super().resume_training(ckpt)
        if self.resume and is_main_process() and (results := (ckpt or {}).get("train_results")):
            rows = (",".join(f"{value:.6g}" for value in row) for row in zip(*results.values(), strict=True))
            AtomicPath(self.csv).write_bytes("".join(f"{line}\n" for line in [",".join(results), *rows]).encode())

    def save_model(self) -> bool:
        """Save as upstream; keep the previous checkpoint.

        Upstream writes through `last`, `best` and `wdir`.
        """
        keep_previous(self.last)
        return super().save_model()

    def final_eval(self) -> None:
        """Strip the optimizer from copies, and validate.

        Ultralytics strips the files in place.
        """
        with torch_distributed_zero_first(LOCAL_RANK):
            if is_main_process():
                finish(self.last, self.best)
        if not self.best.exists():
            return
        LOGGER.info(f"\nValidating {self.best}...")
        self.validator.args.plots = self.args.plots
        self.validator.args.compile = False
        self.metrics = self.validator(model=self.best)
        self.metrics.pop("fitness", None)
        self.epoch += 1  # Loggers get the metrics of the best weights as one more epoch.
        self.run_callbacks("on_fit_epoch_end")
        self.epoch -= 1


def finish(last: AtomicPath, best: AtomicPath) -> None:
    """Finish the weights of a training.

    The files are then as upstream leaves them.

    A second call changes nothing.

    Raises:
        TrainingError: the disk has no room for a stripped copy.
    """
    results = _strip(last).get("train_results")
    _strip(best, {"train_results": results})
    last.with_stem("last-1").unlink(missing_ok=True)


def _strip(file: AtomicPath, updates: dict[str, Any] | None = None) -> dict[str, Any]:
    """Reduce a checkpoint to what inference needs.

    Args:
        file: the checkpoint; it may be missing.
        updates: entries to add.

    Returns:
        The stripped checkpoint, empty if there is no file.
    """
    if not file.exists():
        return {}
    stripped = file.with_name(f".{file.stem}-stripped.partial")
    try:
        with silence():  # Ultralytics would log the name of the partial file.
            checkpoint = strip_optimizer(file, s=stripped, updates=updates)
        if checkpoint:
            replace(stripped, file)
    except (OSError, RuntimeError) as error:  # torch.save raises RuntimeError on a full disk.
        stripped.unlink(missing_ok=True)
        raise TrainingError(
            f"no room to strip the optimizer from {file}: it needs {file.stat().st_size:,} bytes ({error})",
            remedy="the file itself is untouched and usable",
        ) from None
    LOGGER.info(f"Optimizer stripped from {file}, {file.stat().st_size / 1e6:.1f}MB")
    return checkpoint
