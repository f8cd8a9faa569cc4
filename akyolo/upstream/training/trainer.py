"""Subclass the trainers of Ultralytics.

The classes can be imported by name, so that the workers of a multi-process launch find them.
"""

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import Optimizer
from ultralytics.cfg import cfg2dict
from ultralytics.models import yolo
from ultralytics.utils import DEFAULT_CFG, DEFAULT_CFG_DICT, LOCAL_RANK, LOGGER
from ultralytics.utils.torch_utils import unwrap_model

from akyolo.upstream.arguments.data import check_runs_nothing
from akyolo.upstream.arguments.resolve import TrainingArguments
from akyolo.upstream.evaluation.validator import HonestNMS
from akyolo.upstream.model_yaml import read_model_yaml
from akyolo.upstream.patches.dataset_scan import OneScan
from akyolo.upstream.training.autoanchor import FittedAnchors
from akyolo.upstream.training.checkpoints import AtomicCheckpoints
from akyolo.upstream.training.distributed import InProcesses
from akyolo.upstream.training.finite_loss import FiniteLoss
from akyolo.upstream.training.param_groups import (
    call_after_steps,
    exempt_from_decay,
    follow_upstream_rates,
    split_offset_groups,
)
from akyolo.upstream.weights.warm_start import finish_loading


class AkyoloTrainer(FittedAnchors, InProcesses, OneScan, AtomicCheckpoints, FiniteLoss):
    """The additions of our trainers to upstream."""

    understands_akyolo = True  # The guard in patches/defaults.py reads it.
    arguments: TrainingArguments | None = None  # Set by `hand_over`; None in a launched worker.

    def __init__(self, cfg: Any = DEFAULT_CFG, overrides: Any = None, _callbacks: Any = None) -> None:
        """Take arguments that are resolved, or check them.

        A process that upstream launches gets the arguments of the trainer that launched it, all of them.
        """
        words = cfg2dict(overrides or {})
        is_launched = LOCAL_RANK >= 0 and words.keys() >= DEFAULT_CFG_DICT.keys()
        if self.arguments is None and not is_launched:
            self.arguments = TrainingArguments.of_trainer({**cfg2dict(cfg), **words})
        super().__init__(cfg, overrides, _callbacks)
        if self.arguments is not None and self.resume:
            self.arguments = self.arguments.resumed(vars(self.args))

    def get_dataset(self) -> dict[str, Any]:
        """Return a data set without code."""
        check_runs_nothing(self.args.data, self.args.task)
        return super().get_dataset()

    def get_model(self, cfg: Any = None, weights: nn.Module | None = None, verbose: bool = True) -> nn.Module:
        """Build the network, and load weights.

        A line of the log names the rows that no weights fit.
        """
        model = super().get_model(read_model_yaml(cfg) if isinstance(cfg, str) else cfg, weights, verbose)
        if weights is not None:
            finish_loading(model, weights)
        return model

    def _build_train_pipeline(self) -> None:
        """Build as upstream, and keep the user's `max_det`.

        Ultralytics raises a `max_det` of 300 to the number of objects in the densest image.
        """
        max_det = self.args.max_det
        super()._build_train_pipeline()
        if self.args.max_det != max_det:
            self.args.max_det = max_det
            unwrap_model(self.model).set_head_attr(max_det=max_det)

    def get_validator(self) -> Any:
        """Return a validator that keeps `max_det`.

        The evaluation at the end of a training would raise it again.
        """
        validator = super().get_validator()
        validator._check_max_det = HonestNMS._check_max_det
        return validator

    def build_optimizer(self, model: nn.Module, *args: Any, **kwargs: Any) -> Optimizer:
        """Build the optimizer with our parameter groups."""
        optimizer = super().build_optimizer(model, *args, **kwargs)
        exempt_from_decay(optimizer, unwrap_model(model))
        split_offset_groups(optimizer, unwrap_model(model), self.args.offset_lr)
        call_after_steps(optimizer, unwrap_model(model))
        return optimizer

    def _get_warmup_iterations(self, num_batches: int) -> int:
        """Return the iterations of the warm-up.

        They are at least `warmup_min_iterations`.

        YOLOv5 and YOLOv7 have such a minimum; without a warm-up it is 0.
        """
        iterations = super()._get_warmup_iterations(num_batches)
        minimum = int(self.args.warmup_min_iterations) if iterations else 0
        if minimum >= num_batches * self.epochs:
            LOGGER.warning(
                f"akyolo: the warm-up lasts at least {minimum} iterations (warmup_min_iterations), and this training "
                f"has only {num_batches * self.epochs}: it ends within the warm-up"
            )
        return max(iterations, minimum)

    def optimizer_step(self) -> None:
        """Set our learning rates, and step."""
        follow_upstream_rates(self.optimizer.param_groups, self.args.offset_lr)
        super().optimizer_step()


class DetectionTrainer(AkyoloTrainer, yolo.detect.DetectionTrainer):
    """Train a detector."""


class SegmentationTrainer(AkyoloTrainer, yolo.segment.SegmentationTrainer):
    """Train an instance segmentation model."""


class PoseTrainer(AkyoloTrainer, yolo.pose.PoseTrainer):
    """Train a pose estimation model."""


class OBBTrainer(AkyoloTrainer, yolo.obb.OBBTrainer):
    """Train a detector of oriented boxes."""


class ClassificationTrainer(AkyoloTrainer, yolo.classify.ClassificationTrainer):
    """Train an image classifier."""


class SemanticSegmentationTrainer(AkyoloTrainer, yolo.semantic.SemanticSegmentationTrainer):
    """Train a semantic segmentation model."""


def hand_over(trainer: Any, arguments: TrainingArguments) -> Callable[..., Any]:
    """Return a function that makes a trainer.

    The trainer gets arguments that are resolved.

    Upstream calls it as it would call the class, for each data set of a list. The arguments are set before `__init__`,
    because a subclass by a user may have upstream's signature.
    """
    if not (isinstance(trainer, type) and issubclass(trainer, AkyoloTrainer)):
        return trainer

    def make(*args: Any, **options: Any) -> Any:
        made = trainer.__new__(trainer)
        made.arguments = arguments
        trainer.__init__(made, *args, **options)
        return made

    return make


TRAINERS: dict[type, type] = {
    ours.__bases__[1]: ours
    for ours in (
        DetectionTrainer,
        SegmentationTrainer,
        PoseTrainer,
        OBBTrainer,
        ClassificationTrainer,
        SemanticSegmentationTrainer,
    )
}
