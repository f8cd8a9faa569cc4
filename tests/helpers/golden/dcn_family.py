"""The family of deformable convolutions, v1 and v2."""

from typing import Any

import torch

from akyolo.ops.deform_conv import deform_by_sampling, deform_by_torchvision, deform_conv
from tests.helpers.golden.families import Arrays, close, family, tensor


@family
def dcn(arrays: Arrays, entry: dict[str, Any]) -> None:
    parts = arrays["offset"].shape[1] // (2 * arrays["weight"].shape[-1] ** 2)
    assert parts == entry.get("offset_groups", 1)
    padding = entry.get("padding", 0)
    geometry = {"stride": entry.get("stride", 1), "padding": padding, "dilation": entry.get("dilation", 1)}
    for dtype in (torch.float64, torch.float32):
        for realisation in (deform_conv, deform_by_sampling, deform_by_torchvision):
            leaves = {
                name: tensor(arrays[name], dtype).requires_grad_() if name in arrays else None
                for name in ("x", "offset", "weight", "bias", "mask")
            }
            out = realisation(**leaves, **geometry)
            (out * tensor(arrays["G"], dtype)).sum().backward()
            close(out, arrays["out"], f"out {realisation.__name__}")
            for name, leaf in leaves.items():
                if leaf is not None:
                    close(leaf.grad, arrays[f"grad_{name}"], f"grad_{name} {realisation.__name__}", 1e-6)
