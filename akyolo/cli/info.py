"""`akyolo info MODEL`: its layers, parameters and arithmetic."""

import argparse
import json
from typing import Any

from akyolo.checks import Numbers, check_number
from akyolo.cli.stdout import stdout_to_stderr
from akyolo.errors import ConfigError

SUMMARY = "layers, parameters and GFLOPs of a model"
SIDES = Numbers(whole=True, at_least=32, multiple_of=32)  # pixels of an image


def configure(parser: argparse.ArgumentParser) -> None:
    """MODEL, --imgsz, --json."""
    parser.add_argument("model", help="a model YAML or weights")
    parser.add_argument("--imgsz", type=int, default=640, help="pixels of a square image (default 640)")
    parser.add_argument("--json", action="store_true", help="print JSON alone")


def run(options: argparse.Namespace) -> None:
    """Print what `describe` finds, as a table or as JSON.

    Raises:
        AkyoloError: a model that cannot be built or read.
    """
    check_number(f"--imgsz {options.imgsz}", options.imgsz, SIDES, error=ConfigError)
    with stdout_to_stderr():
        facts = describe(options.model, options.imgsz)
    if options.json:
        print(json.dumps(facts))
        return
    for layer in facts["layers"]:
        print("{i:>3} {from_!s:>14} {n:>2} {params:>10,}  {module:<14} {args}".format(from_=layer["from"], **layer))
    for state, params in facts["params"].items():
        print(f"{state:>8}: {params:,} parameters, {facts['gflops'][state]:.2f} GFLOPs")


def describe(name: str, imgsz: int) -> dict[str, Any]:
    """{model, nc, imgsz, params, gflops, layers [{i, from, n, module, params, args}]}.

    Params and gflops are {unfused, fused, paper, deployed}: all parameters, and 1e9 operations for one image of
    imgsz x imgsz, two per multiply-add. `akyolo.cost` says what the conventions paper and deployed mean.
    """
    from akyolo import YOLO
    from akyolo.cost import CONVENTIONS

    model = YOLO(name).model
    if isinstance(model, str):
        raise ConfigError(f"{name} is an export: it has no layers to show", remedy="name the weights it was made of")
    image = (imgsz, imgsz, model.yaml.get("channels", 3))
    costs = {name: of_model(model, *image) for name, of_model in CONVENTIONS.items()}
    depth = _depth(model.yaml)
    return {
        "model": name,
        "nc": model.yaml["nc"],
        "imgsz": imgsz,
        "params": {state: c.params for state, c in costs.items()},
        "gflops": {state: c.gflops for state, c in costs.items()},
        "layers": [
            _layer(module, row, depth)
            for module, row in zip(model.model, model.yaml["backbone"] + model.yaml["head"], strict=True)
        ],
    }


def _depth(model_yaml: dict[str, Any]) -> float:
    """By what the scale multiplies repeats."""
    scales = model_yaml.get("scales")
    scale = model_yaml.get("scale") or next(iter(scales or {}), None)
    return scales[scale][0] if scales else model_yaml.get("depth_multiple", 1.0)


def _layer(module: Any, row: list[Any], depth: float) -> dict[str, Any]:
    """What was built of one row: n as upstream's table counts it, args as the YAML writes them."""
    return {
        "i": module.i,
        "from": module.f,
        "n": max(round(row[1] * depth), 1) if row[1] > 1 else row[1],
        "module": row[2],
        "params": module.np,
        "args": row[3],
    }
