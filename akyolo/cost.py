"""Parameters and arithmetic of a model, under named conventions.

- `unfused`: every layer as it is trained; of the arithmetic what thop counts: layers, no sampling.
- `fused`: the same after every BN is folded into its convolution.
- `paper`: as the tables of AKConv's paper count (arXiv 2311.11587): the BN of Ultralytics' layers folded, those of our
  operators not; no sampling.
- `deployed`: what runs after an export: every BN folded, and the four multiply-adds of each sampled value counted too.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import thop
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from akyolo.registry import operators


@dataclass(frozen=True)
class Cost:
    """Parameters, and 1e9 floating point operations of one image: two per multiply-add."""

    params: int
    gflops: float


def cost(model: nn.Module, height: int, width: int, channels: int = 3) -> Cost:
    """Count the layers of `model` as it is, in one forward pass in eval mode.

    Args:
        model: a network of (B, channels, H, W).
        height: pixels of the image.
        width: pixels of the image.
        channels: of the image, which is zeros: uninitialised memory might hold what is not finite.

    Raises:
        RuntimeError: no operation was counted.
    """
    operations = thop.profile(model, inputs=[_image(model, height, width, channels)], verbose=False)[0]
    if not operations:
        raise RuntimeError(f"no operation of {type(model).__name__} was counted")
    return Cost(sum(p.numel() for p in model.parameters()), 2 * operations / 1e9)


def fused_cost(model: Any, height: int, width: int, channels: int = 3) -> Cost:
    """Count `model` under the `fused` convention; it is not changed."""
    return cost(_fused(model), height, width, channels)


def paper_cost(model: Any, height: int, width: int, channels: int = 3) -> Cost:
    """Count `model` under the `paper` convention; it is not changed."""
    fused = _fused(model)
    ours = tuple(spec.module for spec in operators())
    for name, module in model.named_modules():
        if isinstance(module, ours):
            fused.set_submodule(name, copy.deepcopy(module))
    return cost(fused, height, width, channels)


def deployed_cost(model: Any, height: int, width: int, channels: int = 3) -> Cost:
    """Count `model` under the `deployed` convention; it is not changed."""
    fused = _fused(model).eval()
    layers = cost(fused, height, width, channels)
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=SAMPLING) as counter:
        fused(_image(fused, height, width, channels))
    counts = counter.get_flop_counts()["Global"]
    return Cost(layers.params, layers.gflops + sum(counts.get(operation, 0) for operation in SAMPLING) / 1e9)


# by the names that `akyolo info` prints
CONVENTIONS: dict[str, Callable[..., Cost]] = {
    "unfused": cost,
    "fused": fused_cost,
    "paper": paper_cost,
    "deployed": deployed_cost,
}


def _fused(model: Any) -> Any:
    """Return a copy with BN folded by the model's own `fuse()`; a module without one stays as it is."""
    copied = copy.deepcopy(model)
    return copied.fuse(verbose=False) if hasattr(copied, "fuse") else copied


def _image(model: nn.Module, height: int, width: int, channels: int) -> torch.Tensor:
    parameter = next(model.parameters())
    return torch.zeros(1, channels, height, width, device=parameter.device, dtype=parameter.dtype)


def _of_bags(pixels: tuple[int, ...], indices: tuple[int, ...], *_: Any, **__: Any) -> int:
    """Each index adds one pixel, of all channels, times its weight."""
    return 2 * prod(indices) * pixels[1]


def _of_grid_sample(*_: Any, out_shape: tuple[int, ...], **__: Any) -> int:
    return 2 * 4 * prod(out_shape)


# both realisations of akyolo.sampling.sample
SAMPLING = {
    torch.ops.aten._embedding_bag_forward_only: _of_bags,
    torch.ops.aten.grid_sampler_2d: _of_grid_sample,
}
