"""Import state dicts of YOLOv5 and YOLOv7.

Backbone and neck have the same names in those repositories and in Ultralytics, row by row. The head differs: its
convolutions are called `m`, its implicit parameters `ia` and `im`, and its anchors are in units of the stride.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from akyolo.errors import CheckpointError, first_line
from akyolo.upstream.build import build_detector
from akyolo.upstream.model_yaml import read_model_yaml

HEAD_NAMES = (
    (r"anchors$", "anchors_px"),
    (r"m\.(\d+)\.", r"convs.\1."),
    (r"ia\.(\d+)\.implicit", r"implicit_add.\1"),
    (r"im\.(\d+)\.implicit", r"implicit_mul.\1"),
)
OUTPUT = re.compile(r"model\.(\d+)\.m\.0\.weight")
STEMS = {16: "n", 32: "s", 48: "m", 64: "l", 80: "x"}  # output channels of YOLOv5's first convolution
LAST_ROWS = {24: "yolov5", 77: "yolov7-tiny"}
HOW_TO = (
    "in the original repository: torch.save(torch.load('yolov5n.pt')['model'].float().state_dict(), 'yolov5n-state.pt')"
)


@dataclass(frozen=True)
class Imported:
    """A model with imported weights.

    Args:
        model: the network.
        name: of its model YAML.
        classes: the number of classes.
        tensors: the number of tensors that were read.
        renamed: the number of tensors whose names differ between the repositories.
    """

    model: nn.Module
    name: str
    classes: int
    tensors: int
    renamed: int


def import_weights(file: Path, name: str | None = None) -> Imported:
    """Read a state dict into its model.

    Args:
        file: a state dict that `torch.save` wrote.
        name: a model YAML; when left out, the shapes of the tensors tell it.

    Raises:
        CheckpointError: the file is not a state dict, or belongs to another architecture or another size than `name`.
        RowError: there is no such model YAML.
    """
    original = read_tensors(file)
    row, output = _head(original, file)
    name = name or _model_of(original, row, file)
    if Path(name).suffix not in {".yaml", ".yml"}:
        raise CheckpointError(f"{name} is not a model YAML", remedy="--model takes a .yaml, such as yolov5s.yaml")
    cfg = read_model_yaml(name)
    anchors = original.get(f"model.{row}.anchors")
    if anchors is None or anchors.ndim != 3 or not anchors.shape[1] or anchors.shape[2] != 2:
        raise CheckpointError(
            f"holds no anchors (levels, n, 2), model.{row}.anchors", location=str(file), remedy=HOW_TO
        )
    classes = output.shape[0] // anchors.shape[1] - 5
    # The anchors are in units of the stride, which is known once the model is built: it is built with these numbers
    # first, and gets the anchors in pixels afterwards.
    model: Any = build_detector({**cfg, "nc": classes, "anchors": anchors.flatten(1).tolist()})
    pixels = anchors.float() * model.stride[:, None, None]
    model.yaml["anchors"] = pixels.flatten(1).tolist()
    given = {
        _our_name(key, row): value.float() if value.is_floating_point() else value
        for key, value in original.items()
        if key != f"model.{row}.anchor_grid"  # It repeats the anchors.
    }
    given[f"model.{row}.anchors_px"] = pixels
    own = model.state_dict()
    _check_fit(given, own, file, name)
    model.load_state_dict(given)
    renamed = sum(key not in original for key in given)
    return Imported(model, name, classes, len(given), renamed)


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read a state dict without running code.

    Raises:
        CheckpointError: the file is missing or damaged, or holds anything other than tensors by name.
    """
    if not file.is_file():
        raise CheckpointError(f"there is no file {str(file)!r}")
    try:
        tensors = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # A damaged or hostile file raises errors of any class.
        raise CheckpointError(f"not a state dict ({first_line(error)})", location=str(file), remedy=HOW_TO) from None
    if not isinstance(tensors, dict) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in tensors.items()
    ):
        raise CheckpointError("holds something other than tensors by name", location=str(file), remedy=HOW_TO)
    return dict(tensors)


def _head(original: Mapping[str, Tensor], file: Path) -> tuple[str, Tensor]:
    """Return row and first weight of the head."""
    for key, value in original.items():
        if (match := OUTPUT.fullmatch(key)) and value.ndim == 4:
            return match[1], value
    raise CheckpointError(
        "holds no head of YOLOv5 or YOLOv7 (model.<row>.m.0.weight)",
        location=str(file),
        remedy="only these can be imported",
    )


def _model_of(original: Mapping[str, Tensor], row: str, file: Path) -> str:
    """Return the model YAML of a state dict."""
    family, stem = LAST_ROWS.get(int(row)), original.get("model.0.conv.weight")
    if family is None or stem is None or stem.ndim != 4 or (family == "yolov5" and len(stem) not in STEMS):
        raise CheckpointError(
            f"belongs to an architecture that akyolo does not have (its head is row {row})",
            location=str(file),
            remedy="name a model YAML with --model",
        )
    return f"{family}{STEMS[len(stem)]}.yaml" if family == "yolov5" else f"{family}.yaml"


def _our_name(key: str, row: str) -> str:
    """Return our name of an original tensor."""
    prefix = f"model.{row}."
    if not key.startswith(prefix):
        return key
    rest = key.removeprefix(prefix)
    for original, ours in HEAD_NAMES:
        rest = re.sub(rf"^{original}", ours, rest)
    return prefix + rest


def _check_fit(given: Mapping[str, Tensor], own: Mapping[str, Tensor], file: Path, name: str) -> None:
    """Refuse tensors that do not fit.

    They are missing, unknown, or of another shape.
    """
    missing = [key for key in own if key not in given]
    unknown = [key for key in given if key not in own]
    other = [key for key in given if key in own and given[key].shape != own[key].shape]
    for keys, what in ((other, "have another shape"), (missing, "are missing"), (unknown, "are unknown to it")):
        if keys:
            shapes = f" {list(given[keys[0]].shape)}, not {list(own[keys[0]].shape)}" if keys is other else ""
            raise CheckpointError(
                f"is not {name}: {len(keys)} of {len(given)} tensors {what}, {keys[0]}{shapes} first",
                location=str(file),
                remedy="these are weights of another size or architecture: name its model YAML with --model",
            )
