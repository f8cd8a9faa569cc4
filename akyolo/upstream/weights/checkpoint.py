"""Weights: what may be read, and what of them fits."""

from pathlib import Path
from typing import Any

from torch import nn
from ultralytics.nn.tasks import torch_safe_load
from ultralytics.utils import LOGGER, SETTINGS, YAML
from ultralytics.utils.checks import REMOTE_FILE_PREFIXES, check_file, check_yaml
from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

from akyolo.errors import CheckpointError, did_you_mean, first_line
from akyolo.heads.anchors import anchor_table
from akyolo.registry import operators

# the training arguments that may name weights
WEIGHT_ARGUMENTS = ("resume", "pretrained", "distill_model")


def check_loadable(weights: str | Path) -> None:
    """Read `.pt` weights in the way that runs no code of theirs, before upstream reads them in its own.

    Raises:
        CheckpointError: the file is missing, damaged, holds no model, or would run code.
    """
    if str(weights).lower().startswith(REMOTE_FILE_PREFIXES):
        weights = check_file(weights, download_dir=SETTINGS["weights_dir"])
    file = Path(weights)
    if not file.exists() or not str(weights):
        if {str(weights), f"{weights}.pt"} & set(GITHUB_ASSETS_NAMES):
            return  # published by Ultralytics, which downloads it
        near = [str(path) for path in file.parent.glob("*.pt")]
        raise CheckpointError(
            f"there is no file {str(weights)!r}", remedy=did_you_mean(file.name, near) if near else None
        )
    if (best := file / "weights" / "best.pt").exists():
        raise CheckpointError("is a folder", where=str(weights), remedy=f"name {best}")
    if file.suffix.lower() != ".pt":
        return  # an export
    try:
        checkpoint, _ = torch_safe_load(file, safe_only=True)
    except Exception as error:  # whatever a damaged or hostile file raises
        raise CheckpointError(
            f"not readable as weights ({first_line(error)})",
            where=str(weights),
            remedy="use a checkpoint that akyolo or Ultralytics wrote; if it was one, copy it again",
        ) from None
    if not isinstance(checkpoint.get("ema") or checkpoint.get("model"), nn.Module):
        raise CheckpointError("holds no model", where=str(weights), remedy="use a checkpoint with its model")


def check_resumable(checkpoint: Any, weights: Any) -> None:
    """Refuse to resume what has no training left in it, where upstream would start a new one or fail late.

    Raises:
        CheckpointError: a finished training, or no checkpoint of a training.
    """
    state = checkpoint if isinstance(checkpoint, dict) else {}
    if state.get("epoch", -1) < 0 or state.get("optimizer") is None:
        raise CheckpointError(
            "holds no unfinished training to resume",
            where=str(weights),
            remedy="resume takes the last.pt of a training that was interrupted; to train on, leave resume out",
        )


def check_classes(model: Any, name: Any, data: Any) -> None:
    """Refuse to evaluate a detector on a data set with another number of classes; upstream would count nonsense.

    Raises:
        CheckpointError: the numbers differ.
    """
    file = check_yaml(data, hard=False) if isinstance(data, str) and data.endswith((".yaml", ".yml")) else None
    if not isinstance(model, nn.Module) or not file:
        return
    have, found = len(getattr(model, "names", [])), YAML.load(file)
    wanted = len(found["names"]) if "names" in found else found.get("nc", have)
    if have != wanted:
        raise CheckpointError(
            f"made for {have} classes, but {data} has {wanted}",
            where=str(name),
            remedy="train on that data set first (akyolo train WEIGHTS data=...), or name the one it was trained on",
        )


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
