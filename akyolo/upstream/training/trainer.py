"""Upstream's trainers, one subclass each, importable so that workers of a multi-process launch find them."""

from typing import Any

from torch import nn
from torch.optim import Optimizer
from ultralytics.cfg import cfg2dict
from ultralytics.models import yolo
from ultralytics.utils import DEFAULT_CFG, LOGGER
from ultralytics.utils.torch_utils import unwrap_model

from akyolo.upstream.arguments.data import check_runs_nothing
from akyolo.upstream.arguments.hyperparameters import check_hyperparameters
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
    """What our trainers do beyond upstream's."""

    understands_akyolo = True  # our training arguments have an effect

    def __init__(self, cfg: Any = DEFAULT_CFG, overrides: Any = None, _callbacks: Any = None) -> None:
        check_hyperparameters({**cfg2dict(cfg), **cfg2dict(overrides or {})})
        super().__init__(cfg, overrides, _callbacks)

    def get_dataset(self) -> dict[str, Any]:
        """As upstream, of a data YAML that runs nothing, wherever its name comes from."""
        check_runs_nothing(self.args.data, self.args.task)
        return super().get_dataset()

    def get_model(self, cfg: Any = None, weights: nn.Module | None = None, verbose: bool = True) -> nn.Module:
        """Build from a name as users write it; say which rows the weights did not reach."""
        model = super().get_model(read_model_yaml(cfg) if isinstance(cfg, str) else cfg, weights, verbose)
        if weights is not None:
            finish_loading(model, weights)
        return model

    def _build_train_pipeline(self) -> None:
        """As upstream, which raises a `max_det` of 300 to what the densest image holds; it stays as the user said."""
        max_det = self.args.max_det
        super()._build_train_pipeline()
        if self.args.max_det != max_det:
            self.args.max_det = max_det
            unwrap_model(self.model).set_head_attr(max_det=max_det)

    def get_validator(self) -> Any:
        """As upstream, with our idea of `max_det`: the evaluation at the end of a training would raise it again."""
        validator = super().get_validator()
        validator._check_max_det = HonestNMS._check_max_det
        return validator

    def build_optimizer(self, model: nn.Module, *args: Any, **kwargs: Any) -> Optimizer:
        """Upstream's groups, no decay for what must have none, and groups of their own for what `offset_lr` scales."""
        optimizer = super().build_optimizer(model, *args, **kwargs)
        exempt_from_decay(optimizer, unwrap_model(model))
        split_offset_groups(optimizer, unwrap_model(model), self.args.offset_lr)
        call_after_steps(optimizer, unwrap_model(model))
        return optimizer

    def _get_warmup_iterations(self, num_batches: int) -> int:
        """As upstream, with the floor that YOLOv5 and YOLOv7 have; none without a warm-up."""
        iterations = super()._get_warmup_iterations(num_batches)
        floor = int(self.args.warmup_min_iterations) if iterations else 0
        if floor >= num_batches * self.epochs:
            LOGGER.warning(
                f"akyolo: the warm-up lasts {floor} iterations at least (warmup_min_iterations), this training "
                f"{num_batches * self.epochs}: it will not leave it"
            )
        return max(iterations, floor)

    def optimizer_step(self) -> None:
        """As upstream, at the rates that are right for our groups."""
        follow_upstream_rates(self.optimizer.param_groups, self.args.offset_lr)
        super().optimizer_step()


class DetectionTrainer(AkyoloTrainer, yolo.detect.DetectionTrainer):
    """Detection."""


class SegmentationTrainer(AkyoloTrainer, yolo.segment.SegmentationTrainer):
    """Instance segmentation."""


class PoseTrainer(AkyoloTrainer, yolo.pose.PoseTrainer):
    """Pose estimation."""


class OBBTrainer(AkyoloTrainer, yolo.obb.OBBTrainer):
    """Oriented boxes."""


class ClassificationTrainer(AkyoloTrainer, yolo.classify.ClassificationTrainer):
    """Image classification."""


class SemanticSegmentationTrainer(AkyoloTrainer, yolo.semantic.SemanticSegmentationTrainer):
    """Semantic segmentation."""


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
