"""`akyolo info MODEL`: its layers, parameters and GFLOPs."""

import argparse
import json
from typing import Any

from akyolo import YOLO
from akyolo.checks import Numbers, check_number
from akyolo.cli.stdout import stdout_to_stderr
from akyolo.cost import CONVENTIONS
from akyolo.errors import ConfigError

SUMMARY = "layers, parameters and GFLOPs of a model"
SIDES = Numbers(whole=True, at_least=32, multiple_of=32)  # pixels of an image


def configure(parser: argparse.ArgumentParser) -> None:
    """Add MODEL, --imgsz and --json."""
    parser.add_argument("model", help="a model YAML or weights")
    parser.add_argument("--imgsz", type=int, default=640, help="pixels of a square image (default 640)")
    parser.add_argument("--json", action="store_true", help="print JSON alone")


def run(options: argparse.Namespace) -> None:
    """Print the layers and costs of a model.

    Raises:
        AkyoloError: the image size is not possible, or the model cannot be built or read.
    """
    check_number(f"--imgsz {options.imgsz}", options.imgsz, SIDES, error=ConfigError)
    with stdout_to_stderr():
        facts = describe(options.model, options.imgsz)
    if options.json:
        print(json.dumps(facts))
        return
    for layer in facts["layers"]:
        print("{i:>3} {from_!s:>14} {n:>2} {params:>10,}  {module:<14} {args}".format(from_=layer["from"], **layer))
    for convention, params in facts["params"].items():
        print(f"{convention:>8}: {params:,} parameters, {facts['gflops'][convention]:.2f} GFLOPs")


def describe(name: str, imgsz: int) -> dict[str, Any]:
    """Return the layers and costs of a model.

    Args:
        name: a model YAML or weights.
        imgsz: side of a square image in pixels.

    Returns:
        {model, nc, imgsz, params, gflops, layers [{i, from, n, module, params, args}]}. `params` and `gflops` are
        {unfused, fused, paper, deployed}: all parameters, and 1e9 operations for one image, two per multiply-add.
        `akyolo.cost` describes the four conventions.

    Raises:
        ConfigError: the file is an export, which has no layers.
        RowError: the model cannot be built.
    """
    model = YOLO(name).model
    if isinstance(model, str):
        raise ConfigError(f"{name} is an export: it has no layers to show", remedy="name the weights it was made of")
    image = (imgsz, imgsz, model.yaml.get("channels", 3))
    costs = {convention: count(model, *image) for convention, count in CONVENTIONS.items()}
    depth = _depth(model.yaml)
    return {
        "model": name,
        "nc": model.yaml["nc"],
        "imgsz": imgsz,
        "params": {convention: cost.params for convention, cost in costs.items()},
        "gflops": {convention: cost.gflops for convention, cost in costs.items()},
        "layers": [
            _layer(module, row, depth)
            for module, row in zip(model.model, model.yaml["backbone"] + model.yaml["head"], strict=True)
        ],
    }


def _depth(model_yaml: dict[str, Any]) -> float:
    """Return the depth multiple of the model's scale."""
    scales = model_yaml.get("scales")
    scale = model_yaml.get("scale") or next(iter(scales or {}), None)
    return scales[scale][0] if scales else model_yaml.get("depth_multiple", 1.0)


def _layer(module: Any, row: list[Any], depth: float) -> dict[str, Any]:
    """Return one layer.

    n is that of upstream's table, args are those of the YAML.
    """
    return {
        "i": module.i,
        "from": module.f,
        "n": max(round(row[1] * depth), 1) if row[1] > 1 else row[1],
        "module": row[2],
        "params": module.np,
        "args": row[3],
    }
