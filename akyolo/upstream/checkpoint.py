"""Weights: what may be read, and what of them fits."""

from pathlib import Path
from typing import Any

from torch import nn
from ultralytics.nn.tasks import torch_safe_load
from ultralytics.utils import LOGGER
from ultralytics.utils.checks import REMOTE_FILE_PREFIXES
from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

from akyolo.errors import CheckpointError, did_you_mean
from akyolo.registry import operators


def check_loadable(weights: str | Path) -> None:
    """Read local `.pt` weights in the way that runs no code of theirs, before upstream reads them in its own.

    Raises:
        CheckpointError: the file is missing, damaged, holds no model, or would run code.
    """
    file = Path(weights)
    if file.suffix != ".pt" or str(weights).startswith(REMOTE_FILE_PREFIXES):
        return  # an export, or what upstream downloads
    if not file.is_file():
        if str(weights) in GITHUB_ASSETS_NAMES:
            return  # published by Ultralytics, which downloads it
        near = [str(path) for path in file.parent.glob("*.pt")]
        raise CheckpointError(
            f"there is no file {str(weights)!r}", remedy=did_you_mean(file.name, near) if near else None
        )
    try:
        checkpoint, _ = torch_safe_load(file, safe_only=True)
    except Exception as error:  # whatever a damaged or hostile file raises
        raise CheckpointError(
            f"not readable as weights ({_first_line(error)})",
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


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def reset_what_did_not_transfer(model: nn.Module, weights: Any) -> None:
    """After `model.load(weights)`: name the rows that stay random, and undo what reached their BN alone by name.

    A plain convolution's BN has the shape of the BN of the operator that replaced it, but not its statistics.
    """
    source = weights if isinstance(weights, nn.Module) else model_of(weights)
    given = {key: value.shape for key, value in source.state_dict().items()}
    ours = tuple(spec.module for spec in operators())
    random = []
    for name, module in model.named_modules():
        if not isinstance(module, ours):
            continue
        if given.get(f"{name}.conv.weight") != module.state_dict()["conv.weight"].shape:
            for part in module.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.reset_parameters()
            random.append(name)
    if random:
        rows = ", ".join(name.removeprefix("model.") for name in random)
        LOGGER.info(f"akyolo: no weights fit rows {rows}; they start from random values")


def model_of(weights: Any) -> nn.Module:
    """The module in a checkpoint, by path or as a mapping."""
    checkpoint = weights if isinstance(weights, dict) else torch_safe_load(weights, safe_only=True)[0]
    return checkpoint.get("ema") or checkpoint["model"]
