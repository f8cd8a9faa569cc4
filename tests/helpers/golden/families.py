"""One check per family of golden files: our float64 and float32 results against the arrays of the official code."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from akyolo.ops.akconv import AKConv
from akyolo.sampling import PADDING_MODES, initial_shape, kernel_positions, mix, sample

Arrays = Mapping[str, np.ndarray]
Check = Callable[[Arrays, dict[str, Any]], None]
FAMILIES: dict[str, Check] = {}
FLOAT64_TOLERANCE = 1e-9


def family(check: Check) -> Check:
    FAMILIES[check.__name__] = check
    return check


def close(ours: Tensor, golden: np.ndarray, what: str, float32_error: float = 1e-6) -> None:
    tolerance = FLOAT64_TOLERANCE if ours.dtype == torch.float64 else max(10 * float32_error, 1e-6)
    expected = torch.from_numpy(golden).to(ours.dtype)
    assert ours.shape == expected.shape, f"{what}: shape {tuple(ours.shape)}, not {tuple(expected.shape)}"
    scale = 1 if ours.dtype == torch.float32 else max(1.0, float(expected.abs().max()))
    error = float((ours - expected).abs().max())
    assert error <= tolerance * scale, f"{what}: off by {error:.3g}, allowed {tolerance * scale:.3g}"


def tensor(array: np.ndarray, dtype: torch.dtype) -> Tensor:
    return torch.from_numpy(array).to(dtype)


@family
def akconv_shapes(arrays: Arrays, entry: dict[str, Any]) -> None:
    for name, points in arrays.items():
        prefix, _, key = name.rpartition("_")
        shape = initial_shape(int(key)) if prefix == "p_n" else initial_shape(5, {"shape5": key}[prefix])
        assert np.array_equal(np.array(shape), points), name


@family
def akconv_border(arrays: Arrays, entry: dict[str, Any]) -> None:
    shape = initial_shape(entry["num_param"])
    for dtype in (torch.float64, torch.float32):
        for mode in PADDING_MODES:
            x, offset, weight = (tensor(arrays[k], dtype).requires_grad_() for k in ("x", "offset", "conv_weight"))
            positions = kernel_positions(offset, shape, entry["stride"])
            seen = sample(x, positions, mode)
            raw = mix(seen, weight)
            (raw * tensor(arrays["G"], dtype)).sum().backward()
            close(rearrange(positions, "b n h w yx -> yx b h w n")[0], arrays["py"], "py")
            close(rearrange(positions, "b n h w yx -> yx b h w n")[1], arrays["px"], "px")
            close(rearrange(seen, "b c n h w -> b c h w n"), arrays[f"feat_{mode}"], f"feat_{mode}")
            close(raw, arrays[f"raw_{mode}"], f"raw_{mode}")
            ones = sample(torch.ones_like(x), positions, mode)[:, 0]
            close(rearrange(ones, "b n h w -> b h w n"), arrays[f"wsum_{mode}"], f"wsum_{mode}")
            for name, leaf in (("x", x), ("offset", offset), ("conv_weight", weight)):
                close(leaf.grad, arrays[f"grad_{name}_{mode}"], f"grad_{name}_{mode}", 1e-6)


@family
def akconv_official(arrays: Arrays, entry: dict[str, Any]) -> None:
    for dtype in (torch.float64, torch.float32):
        for mode in PADDING_MODES:
            _check_official(arrays, entry, dtype, mode)


def _check_official(arrays: Arrays, entry: dict[str, Any], dtype: torch.dtype, mode: str) -> None:
    """`official` agrees everywhere; the others where no tap is at or beyond the border."""
    released = {
        "p_conv.weight": "p_conv_weight",
        "p_conv.bias": "p_conv_bias",
        "conv.0.weight": "conv_weight",
        "conv.1.weight": "bn_weight",
        "conv.1.bias": "bn_bias",
        "conv.1.running_mean": "bn_running_mean",
        "conv.1.running_var": "bn_running_var",
    }
    state = {key: tensor(arrays[name], dtype) for key, name in released.items()}
    state["conv.1.num_batches_tracked"] = torch.tensor(0)
    c2, c1 = arrays["conv_weight"].shape[:2]
    op = AKConv(c1, c2, entry["num_param"], entry["stride"], padding_mode=mode).to(dtype).eval()
    op.load_state_dict(state)
    errors = entry["f32_max_abs_err_of_official"]
    everywhere = mode == "official"
    where = torch.ones(1, dtype=dtype) if everywhere else tensor(arrays["interior"], dtype)[:, None]
    area = where.numpy()

    x = tensor(arrays["x"], dtype).requires_grad_()
    close(op.raw(x) * where, arrays["raw"] * area, f"raw {mode}", errors["raw"])
    out = op(x)
    close(out * where, arrays["out"] * area, f"out {mode}", errors["out" if everywhere else "out_interior"])
    (out * where * tensor(arrays["G"], dtype)).sum().backward()
    grad, short = ("grad", "g") if everywhere else ("gradI", "gi")
    close(x.grad, arrays[f"{grad}_x"], f"{grad}_x {mode}", errors[f"{short}_x"])
    close(op.conv.weight.grad, arrays[f"{grad}_conv_weight"], f"{grad}_conv_weight {mode}", errors[f"{short}_cw"])
    if mode == "zeros" and entry["variant"] == "zero":
        return  # taps exactly at 0 count as interior there: the official slope is 0, that of zeros the right-hand one
    for name, parameter in op.offset_conv.named_parameters():
        close(parameter.grad, arrays[f"{grad}_p_conv_{name}"], f"{grad}_p_conv_{name} {mode}", errors[f"{short}_pw"])
