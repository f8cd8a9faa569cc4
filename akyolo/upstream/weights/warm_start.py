"""Finish the loading of weights."""

from typing import Any

from torch import nn
from ultralytics.nn.tasks import torch_safe_load
from ultralytics.utils import LOGGER

from akyolo.heads.anchors import anchor_table
from akyolo.registry import operators


def finish_loading(model: Any, weights: Any) -> None:
    """Restore anchors, and log random rows.

    Args:
        model: the network that has just loaded `weights`.
        weights: a model, a checkpoint, or the path of one.
    """
    source = _module(weights)
    _keep_own_anchors(model, source)
    _name_random_rows(model, source)


def _keep_own_anchors(model: Any, source: nn.Module) -> None:
    """Restore the anchors of the model's own YAML.

    If the YAML of the weights has the same anchors, those of the weights stay: a training may have fitted them.
    """
    head = model.model[-1]
    written = (getattr(model, "yaml", None) or {}).get("anchors")
    if hasattr(head, "anchors_px") and written != (getattr(source, "yaml", None) or {}).get("anchors"):
        head.anchors_px.copy_(anchor_table(written, head.nl))


def _name_random_rows(model: nn.Module, source: nn.Module) -> None:
    """Log the rows that no weights fit."""
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
    """Return the model of weights.

    Weights are a module, a checkpoint, or the path of one.
    """
    if isinstance(weights, nn.Module):
        return weights
    checkpoint = weights if isinstance(weights, dict) else torch_safe_load(weights, safe_only=True)[0]
    return checkpoint.get("ema") or checkpoint["model"]
