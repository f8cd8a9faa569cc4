"""Tell which training arguments a model reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn
from ultralytics.utils import DEFAULT_CFG

from akyolo.errors import ConfigError
from akyolo.upstream.arguments.hyperparameters import ANCHOR_HEAD_ARGUMENTS

# The other losses of Ultralytics read these arguments, the loss of an anchor head does not.
UNREAD_BY_ANCHOR_HEADS: dict[str, Any] = {"cls_pw": DEFAULT_CFG.cls_pw, "dfl": DEFAULT_CFG.dfl, "distill_model": None}
REMEDIES = {"cls_pw": "cls_pos_weight weighs positives, as YOLOv5's cls_pw did"}


def modules_with(model: nn.Module, method: str) -> list[Any]:
    """Return the modules that have a method."""
    return [module for module in model.modules() if hasattr(module, method)]


def offset_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return the offset parameters of a model.

    Its modules yield them by a method of this name.
    """
    return [
        parameter for module in modules_with(model, "offset_parameters") for parameter in module.offset_parameters()
    ]


def has_anchors(model: Any) -> bool:
    """Return whether a model detects by anchors."""
    return hasattr(model.model[-1], "build_criterion")


def check_used_by(model: Any, arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that the loss does not read.

    Raises:
        ConfigError: an argument of anchor heads that is not at its default, for a model without one; or the other way
            round.
    """
    head, anchored = type(model.model[-1]).__name__, has_anchors(model)
    for key, default in (UNREAD_BY_ANCHOR_HEADS if anchored else ANCHOR_HEAD_ARGUMENTS).items():
        if (value := arguments.get(key, default)) != default:
            why, remedy = ("has anchors", REMEDIES.get(key)) if anchored else ("has no anchors", None)
            raise ConfigError(f"'{key}={value}' has no effect: {head} {why}", remedy=remedy)


def check_augment(model: Any, augment: Any) -> None:
    """Refuse test-time augmentation for an anchor head.

    Ultralytics augments for its own detection head only, and skips augmentation for other heads.

    Raises:
        ConfigError: `augment=True` for an anchor head.
    """
    if augment and not isinstance(model, str | Path) and has_anchors(model):
        head = type(model.model[-1]).__name__
        raise ConfigError(f"'augment=True' is not available for {head}: Ultralytics augments for its own head only")
