"""The family of dynamic snake convolution, the authors' later version."""

from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from akyolo.ops.dsconv import DSConv, snake_positions
from tests.helpers.golden.families import Arrays, close, family, tensor

# there taps are stacked along rows for a kernel along x, along columns for one along y
COORDINATES = {"x": "b k h w -> b (h k) w", "y": "b k h w -> b h (w k)"}


@family
def dsconv_pro(arrays: Arrays, entry: dict[str, Any]) -> None:
    for dtype in (torch.float64, torch.float32):
        _check(arrays, entry, "xy"[entry["morph"]], dtype)


def _released_names(axis: str) -> dict[str, str]:
    """Names in the file by ours."""
    layers = {
        "offset_conv": "offset_conv",
        "offset_norm": "gn_offset",
        "norm": "gn",
        f"snakes.{axis}": f"dsc_conv_{axis}",
    }
    return {f"{ours}.{end}": f"{theirs}_{end}" for ours, theirs in layers.items() for end in ("weight", "bias")}


def _module(arrays: Arrays, entry: dict[str, Any], axis: str, dtype: torch.dtype) -> DSConv:
    state = {ours: tensor(arrays[theirs], dtype) for ours, theirs in _released_names(axis).items()}
    kernel = state[f"snakes.{axis}.weight"]
    c2, c1 = kernel.shape[:2]
    state[f"snakes.{axis}.weight"] = kernel.view(c2, c1, -1, 1)
    stride, extend_scope = entry.get("stride", 1), entry.get("extend_scope", 1.0)
    op = DSConv(c1, c2, entry["kernel_size"], stride, axis, extend_scope, act=torch.nn.ReLU()).to(dtype)
    op.load_state_dict(state)
    return op


def _check(arrays: Arrays, entry: dict[str, Any], axis: str, dtype: torch.dtype) -> None:
    op, errors = _module(arrays, entry, axis, dtype), entry["f32_max_abs_err_of_official"]
    x = tensor(arrays["x"], dtype).requires_grad_()

    offset = op.offset(x)
    close(offset, arrays["offset"], "offset", errors["out"])
    positions = snake_positions(offset, axis, op.stride, op.extend_scope)
    for name, p in zip(("y_map", "x_map"), positions.unbind(-1), strict=True):
        close(rearrange(p, COORDINATES[axis]), arrays[name], name, errors["out"])
    close(op.raw(x), arrays["raw"], "raw", errors["out"])
    out = op(x)
    close(out, arrays["out"], "out", errors["out"])

    (out * tensor(arrays["G"], dtype)).sum().backward()
    leaves: dict[str, Tensor] = {theirs: op.get_parameter(ours) for ours, theirs in _released_names(axis).items()}
    of_leaf = {"x": errors["gx"], f"dsc_conv_{axis}_weight": errors["gcw"]}
    for name in [name.removeprefix("grad_") for name in arrays if name.startswith("grad_")]:
        golden = arrays[f"grad_{name}"]
        grad = (leaves | {"x": x})[name].grad.view(golden.shape)
        close(grad, golden, f"grad_{name}", of_leaf.get(name, errors["gow"]))
