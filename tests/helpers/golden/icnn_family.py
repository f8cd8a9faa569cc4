"""ICNN: a convolution at learned positions, and eq. 7 of its paper."""

from typing import Any

import torch

from akyolo.ops.irregular_conv import clamped_step, irregular_conv
from tests.helpers.golden.families import Arrays, close, family, tensor


@family
def icnn(arrays: Arrays, entry: dict[str, Any]) -> None:
    for dtype in (torch.float64, torch.float32):
        names = [name for name in ("x", "positions", "weight", "bias") if name in arrays]
        leaves = {name: tensor(arrays[name], dtype).requires_grad_() for name in names}
        out = irregular_conv(**leaves, stride=entry.get("stride", 1))
        (out * tensor(arrays["G"], dtype)).sum().backward()
        close(out, arrays["out"], "out")
        for name, leaf in leaves.items():
            if f"grad_{name}" in arrays:
                close(leaf.grad, arrays[f"grad_{name}"], f"grad_{name}", 2e-6)
        last, new = (tensor(arrays[name], dtype) for name in ("update_last", "update_new"))
        close(clamped_step(new, last, entry.get("eq7_eps", 0.1)), arrays["update_clipped"], "update_clipped")
