"""Which training arguments a model reads: those of an anchor head, those of learned offsets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn
from ultralytics.utils import DEFAULT_CFG

from akyolo.errors import ConfigError
from akyolo.upstream.arguments.hyperparameters import OF_ANCHOR_HEADS

# what upstream's other losses read, an anchor head's does not
NOT_OF_ANCHOR_HEADS: dict[str, Any] = {"cls_pw": DEFAULT_CFG.cls_pw, "dfl": DEFAULT_CFG.dfl, "distill_model": None}
REMEDIES = {"cls_pw": "cls_pos_weight weighs positives, as YOLOv5's cls_pw did"}


def modules_with(model: nn.Module, method: str) -> list[Any]:
    """The modules that have this method."""
    return [module for module in model.modules() if hasattr(module, method)]


def offset_parameters(model: nn.Module) -> list[nn.Parameter]:
    """What moves taps in a model: whatever its modules yield under this name."""
    return [
        parameter for module in modules_with(model, "offset_parameters") for parameter in module.offset_parameters()
    ]


def has_anchors(model: Any) -> bool:
    """Whether the loss of this model is that of an anchor head, and reads its arguments."""
    return hasattr(model.model[-1], "build_criterion")


def check_used_by(model: Any, arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that the loss of this model does not read.

    Raises:
        ConfigError: one of an anchor head, with a value that says something, for a model that has none; or the
            other way round.
    """
    head, anchored = type(model.model[-1]).__name__, has_anchors(model)
    for key, default in (NOT_OF_ANCHOR_HEADS if anchored else OF_ANCHOR_HEADS).items():
        if (value := arguments.get(key, default)) != default:
            why, remedy = ("has anchors", REMEDIES.get(key)) if anchored else ("has no anchors", None)
            raise ConfigError(f"'{key}={value}' has no effect: {head} {why}", remedy=remedy)


def check_augment(model: Any, augment: Any) -> None:
    """Upstream augments at test time for its own detection head alone, and goes on without for others.

    Raises:
        ConfigError: it is asked for a head of ours.
    """
    if augment and not isinstance(model, str | Path) and has_anchors(model):
        head = type(model.model[-1]).__name__
        raise ConfigError(f"'augment=True' is not available for {head}: Ultralytics augments for its own head only")
