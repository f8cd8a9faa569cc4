"""After weights are loaded: the right anchors, and which rows start from random values."""

from typing import Any

from torch import nn
from ultralytics.nn.tasks import torch_safe_load
from ultralytics.utils import LOGGER

from akyolo.heads.anchors import anchor_table
from akyolo.registry import operators


def finish_loading(model: Any, weights: Any) -> None:
    """After `model.load(weights)`: the anchors that are right, and which rows of ours found nothing that fits.

    Args:
        model: has just loaded them.
        weights: a model, a checkpoint, or the path of one.
    """
    source = _module(weights)
    _keep_own_anchors(model, source)
    _name_random_rows(model, source)


def _keep_own_anchors(model: Any, source: nn.Module) -> None:
    """Weights bring their anchors along only where both YAMLs write the same: these may have been fitted since."""
    head = model.model[-1]
    written = (getattr(model, "yaml", None) or {}).get("anchors")
    if hasattr(head, "anchors_px") and written != (getattr(source, "yaml", None) or {}).get("anchors"):
        head.anchors_px.copy_(anchor_table(written, head.nl))


def _name_random_rows(model: nn.Module, source: nn.Module) -> None:
    """Say which rows of ours found no weights that fit."""
    given = {key: value.shape for key, value in source.state_dict().items()}
    ours = tuple(spec.module for spec in operators())
    random = [
        name.removeprefix("model.")
        for name, module in model.named_modules()
        if isinstance(module, ours)
        and any(given.get(f"{name}.{key}") != value.shape for key, value in module.named_parameters())
    ]
    if random:
        LOGGER.info(f"akyolo: no weights fit rows {', '.join(random)}; they start from random values")


def _module(weights: Any) -> nn.Module:
    """The model that weights are of: itself, or in a checkpoint by path or as a mapping."""
    if isinstance(weights, nn.Module):
        return weights
    checkpoint = weights if isinstance(weights, dict) else torch_safe_load(weights, safe_only=True)[0]
    return checkpoint.get("ema") or checkpoint["model"]
