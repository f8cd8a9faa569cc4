"""The public functions swap, count and score.

They take names, files or values.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from akyolo.checks import COUNTING, check_choice, check_number
from akyolo.cost import CONVENTIONS, Cost
from akyolo.errors import ConfigError, RowError
from akyolo.scoring.detections import Detections
from akyolo.scoring.ground_truth import GroundTruth
from akyolo.scoring.protocols import check_protocol
from akyolo.scoring.protocols import score as score_values
from akyolo.scoring.score import Score
from akyolo.swapping import SwapRule
from akyolo.swapping import swap as swap_rows
from akyolo.upstream.build import build_model
from akyolo.upstream.evaluation.score_file import ground_truth_for, match_ground_truth, read_both
from akyolo.upstream.model import YOLO, UpstreamYOLO
from akyolo.upstream.model_yaml import read_model_yaml

ModelYaml = str | Path | Mapping[str, Any]


def swap(
    base: ModelYaml, op: str, args: Sequence[Any] = (), where: str = "downsample", **keywords: Any
) -> dict[str, Any]:
    """Return a model YAML with an operator in its convolutions.

    Channels, strides and sources of the rows do not change. `akyolo swap` does the same on the command line.

    Args:
        base: a model YAML by its name (`yolov8n.yaml`), its path, or as a mapping, which is not changed.
        op: the name of a registered operator; `Conv` to swap back.
        args: arguments of the operator after c2, in the order of its constructor and without the stride.
        where: `downsample`, `bottleneck`, `elan_last`, `all3x3`, `depthwise`, `pointwise`, or row numbers as `"5,12"`.
        keywords: further arguments of the operator, by name.

    Returns:
        A new mapping. `yaml.safe_dump` writes it, and `akyolo.swap` and `akyolo.count` take it.

    Raises:
        RowError: an operator, argument, place or file cannot be used, or no row would change.

    Example:
        >>> import akyolo
        >>> akyolo.swap("yolov8n.yaml", "AKConv", (5,), "downsample")["backbone"][1]
        [-1, 1, 'AKConv', [128, 5, 2]]
    """
    if isinstance(args, str) or not isinstance(args, Sequence):
        raise RowError(f"args={args!r} must be a sequence", remedy=f"args=({args!r},)")
    if not isinstance(where, str):
        raise RowError(f"where={where!r} must be a text", remedy='the name of a place, or row numbers as "5,12"')
    return swap_rows(_mapping(base), SwapRule(op, tuple(args), where, keywords))[0]


def count(
    model: ModelYaml | nn.Module | UpstreamYOLO, imgsz: int | tuple[int, int] = 640, convention: str = "deployed"
) -> Cost:
    """Count the parameters and operations of a model.

    Args:
        model: a model YAML (name, path or mapping), weights, a `YOLO`, or any `torch.nn.Module` of (B, channels, H, W).
            It is not changed.
        imgsz: side of a square image, or (height, width), in pixels.
        convention: `deployed` (BN folded, sampling counted), `paper` (as AKConv's paper counts), `fused` or `unfused`.

    Returns:
        `params`, and `gflops`: 1e9 floating point operations for one image, two per multiply-add.

    Raises:
        ConfigError: the convention or `imgsz` cannot be used, or the model has no convolution to count, as an export.
        RowError: the model YAML cannot be built.

    Example:
        >>> import akyolo
        >>> akyolo.count("yolov8n.yaml", convention="fused").params
        3151904
        >>> akyolo.count(akyolo.AKConv(3, 16, 5, 2), imgsz=64, convention="unfused")
        Cost(params=552, gflops=0.001175552)
    """
    check_choice(CONVENTIONS, error=ConfigError, convention=convention)
    height, width = _image_size(imgsz)
    network = _network(model)
    return CONVENTIONS[convention](network, height, width, _channels(network))


def score(
    detections: str | Path | Detections, data: str | Path | GroundTruth | None = None, protocol: str = "coco"
) -> Score:
    """Score detections under an evaluation protocol.

    Args:
        detections: a `detections.npz` of `akyolo val ... protocol=`, a COCO json of results, or `Detections`.
        data: the ground truth: a data YAML, a COCO json (a file that ends in `.json`), or `GroundTruth`; None for the
            data set that the detections name.
        protocol: `coco`, `yolov5`, `yolov5-smooth`, `yolov7`, `ultralytics` or `visdrone`.

    Returns:
        The metrics, by the names that the protocol's own program prints, and the settings of the evaluation.

    Raises:
        ConfigError: the protocol is unknown, or the file holds no detections.
        DatasetError: the ground truth cannot be read, or belongs to other images than the detections.

    Example:
        >>> import numpy as np
        >>> import akyolo
        >>> from akyolo.scoring import Detections, GroundTruth
        >>> box, first = np.array([[8.0, 8.0, 40.0, 40.0]]), np.zeros(1, int)
        >>> detections = Detections(("a.jpg",), np.array([[64, 48]]), ("cat",), box, np.array([0.9]), first, first)
        >>> ground_truth = GroundTruth(
        ...     detections.images, detections.sizes, detections.names, box, first, first,
        ...     area=np.array([1024.0]), crowd=np.zeros(1, bool), ignored=np.zeros(1, bool),
        ...     region_xyxy_px=np.zeros((0, 4)), region_image=np.zeros(0, int), sha256="",
        ... )
        >>> float(akyolo.score(detections, ground_truth, "yolov5").metrics["mAP50"])
        0.995
    """
    check_protocol(protocol)
    if isinstance(data, GroundTruth):
        if not isinstance(detections, Detections):
            raise ConfigError(
                "ground truth as a value needs detections as a value",
                location=str(detections),
                remedy="read the file with akyolo.scoring.detections.read_detections",
            )
        return score_values(protocol, detections, match_ground_truth(detections, data, "the ground truth"))
    annotations = Path(data) if data is not None and Path(data).suffix == ".json" else None
    data_yaml = str(data) if data is not None and annotations is None else None
    if isinstance(detections, Detections):
        ground_truth = ground_truth_for(detections, "the detections", data_yaml, annotations)
        return score_values(protocol, detections, ground_truth)
    return score_values(protocol, *read_both(Path(detections), data_yaml, annotations))


def _mapping(base: ModelYaml) -> Mapping[str, Any]:
    return base if isinstance(base, Mapping) else read_model_yaml(base)


def _network(model: ModelYaml | nn.Module | UpstreamYOLO) -> nn.Module:
    if isinstance(model, Mapping):
        return build_model(dict(model))
    if isinstance(model, str | Path):
        model = YOLO(str(model))
    network = model.model if isinstance(model, UpstreamYOLO) else model
    if not isinstance(network, nn.Module):
        raise ConfigError(f"{network} is an export: it has no layers", remedy="name the weights it was made of")
    return network


def _image_size(imgsz: Any) -> tuple[int, int]:
    """Return height and width in pixels."""
    sides = tuple(imgsz) if isinstance(imgsz, Sequence) and not isinstance(imgsz, str) else (imgsz, imgsz)
    expected = "a positive whole number of pixels, or (height, width)"
    for side in sides if len(sides) == 2 else (None,):
        check_number(f"imgsz={imgsz!r}", side, COUNTING, expected=expected, error=ConfigError)
    return sides[0], sides[1]


def _channels(network: nn.Module) -> int:
    """Return the channels of the images that a network takes."""
    if isinstance(yaml := getattr(network, "yaml", None), Mapping):
        return int(yaml.get("channels", 3))
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None:
        raise ConfigError(
            f"{type(network).__name__} has no convolution: its input is not known", remedy="count a model of images"
        )
    return first.in_channels
