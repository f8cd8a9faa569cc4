"""Check weights before upstream reads them: safe to load, resumable, made for these classes."""

from pathlib import Path
from typing import Any

from torch import nn
from ultralytics.nn.tasks import torch_safe_load
from ultralytics.utils import SETTINGS, YAML
from ultralytics.utils.checks import REMOTE_FILE_PREFIXES, check_file, check_yaml
from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

from akyolo.errors import CheckpointError, did_you_mean, first_line

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
        raise CheckpointError("is a folder", location=str(weights), remedy=f"name {best}")
    if file.suffix.lower() != ".pt":
        return  # an export
    try:
        checkpoint, _ = torch_safe_load(file, safe_only=True)
    except Exception as error:  # whatever a damaged or hostile file raises
        raise CheckpointError(
            f"not readable as weights ({first_line(error)})",
            location=str(weights),
            remedy="use a checkpoint that akyolo or Ultralytics wrote; if it was one, copy it again",
        ) from None
    if not isinstance(checkpoint.get("ema") or checkpoint.get("model"), nn.Module):
        raise CheckpointError("holds no model", location=str(weights), remedy="use a checkpoint with its model")


def check_resumable(checkpoint: Any, weights: Any) -> None:
    """Refuse to resume what has no training left in it, where upstream would start a new one or fail late.

    Raises:
        CheckpointError: a finished training, or no checkpoint of a training.
    """
    state = checkpoint if isinstance(checkpoint, dict) else {}
    if state.get("epoch", -1) < 0 or state.get("optimizer") is None:
        raise CheckpointError(
            "holds no unfinished training to resume",
            location=str(weights),
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
            location=str(name),
            remedy="train on that data set first (akyolo train WEIGHTS data=...), or name the one it was trained on",
        )
