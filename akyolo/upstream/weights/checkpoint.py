"""Check weights before Ultralytics reads them."""

import io
from pathlib import Path
from typing import Any

import torch
from torch import nn
from ultralytics.nn.tasks import torch_safe_load
from ultralytics.utils import SETTINGS
from ultralytics.utils.checks import REMOTE_FILE_PREFIXES, check_file
from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

from akyolo.errors import CheckpointError, did_you_mean, first_line
from akyolo.files import AtomicPath

# The training arguments that may name weights.
WEIGHT_ARGUMENTS = ("resume", "pretrained", "distill_model")


def check_loadable(weights: str | Path) -> None:
    """Refuse weights that cannot be read safely.

    Reading a `.pt` file may run code that it holds.

    Ultralytics then reads them in its own way, which may run code.

    Raises:
        CheckpointError: the file is missing or damaged, holds no model, or would run code.
    """
    if str(weights).lower().startswith(REMOTE_FILE_PREFIXES):
        weights = check_file(weights, download_dir=SETTINGS["weights_dir"])
    file = Path(weights)
    if not file.exists() or not str(weights):
        if {str(weights), f"{weights}.pt"} & set(GITHUB_ASSETS_NAMES):
            return  # Ultralytics downloads the weights that it publishes.
        near = [str(path) for path in file.parent.glob("*.pt")]
        raise CheckpointError(
            f"there is no file {str(weights)!r}", remedy=did_you_mean(file.name, near) if near else None
        )
    if (best := file / "weights" / "best.pt").exists():
        raise CheckpointError("is a folder", location=str(weights), remedy=f"name {best}")
    if file.suffix.lower() != ".pt":
        return  # The file is an export.
    try:
        checkpoint, _ = torch_safe_load(file, safe_only=True)
    except Exception as error:  # A damaged or hostile file raises errors of any class.
        raise CheckpointError(
            f"not readable as weights ({first_line(error)})",
            location=str(weights),
            remedy="use a checkpoint that akyolo or Ultralytics wrote; if it was one, copy it again",
        ) from None
    if not isinstance(checkpoint.get("ema") or checkpoint.get("model"), nn.Module):
        raise CheckpointError("holds no model", location=str(weights), remedy="use a checkpoint with its model")


def check_resumable(checkpoint: Any, weights: Any) -> None:
    """Refuse to resume a finished training.

    Ultralytics would start a new training, or fail late.

    Raises:
        CheckpointError: the training is finished, or the file is not the checkpoint of a training.
    """
    state = checkpoint if isinstance(checkpoint, dict) else {}
    if state.get("epoch", -1) < 0 or state.get("optimizer") is None:
        raise CheckpointError(
            "holds no unfinished training to resume",
            location=str(weights),
            remedy="resume takes the last.pt of an interrupted training; to train a finished model further, omit it",
        )


def check_classes(model: Any, name: Any, data: Any, classes: int) -> None:
    """Refuse a data set with other classes.

    Ultralytics would print metrics that mean nothing.

    Args:
        model: the detector; an export is not checked.
        name: what a message calls it.
        data: what a message calls the data set.
        classes: number of classes of the data set.

    Raises:
        CheckpointError: the numbers of classes differ.
    """
    if not isinstance(model, nn.Module) or len(getattr(model, "names", [])) == classes:
        return
    raise CheckpointError(
        f"made for {len(getattr(model, 'names', []))} classes, but {data} has {classes}",
        location=str(name),
        remedy="train on that data set first (akyolo train WEIGHTS data=...), or name the one it was trained on",
    )


def save_whole(state: Any, file: AtomicPath) -> None:
    """Write `state` as `torch.save` does, replacing the file as a whole.

    Given a path, `torch.save` would open it and write in place.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    file.write_bytes(buffer.getvalue())
