"""Count parameters and operations under named conventions.

- `unfused`: every layer as it is trained; the operations that thop counts, which are those of layers, without sampling.
- `fused`: the same after every BN is folded into its convolution.
- `paper`: as in the tables of AKConv's paper (arXiv 2311.11587): the BN of Ultralytics' layers is folded, that of our
  operators is not; without sampling.
- `deployed`: the model after an export: every BN is folded, and the four multiply-adds of each sampled value count.

thop counts a module by the rule of its class. `RULES` holds the rules of our layers.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import thop
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from akyolo.layers import ColumnConv, ScopeConv
from akyolo.registry import operators


@dataclass(frozen=True)
class Cost:
    """The parameters and operations of a model.

    Args:
        params: number of parameters.
        gflops: 1e9 floating point operations for one image, two per multiply-add.
    """

    params: int
    gflops: float


def cost(model: nn.Module, height: int, width: int, channels: int = 3) -> Cost:
    """Count the layers of `model` as it is.

    This runs one forward pass in eval mode.

    Args:
        model: a network of (B, channels, H, W).
        height: height of the image in pixels.
        width: width of the image in pixels.
        channels: channels of the image. It holds zeros: uninitialised memory may hold values that are not finite.

    Raises:
        RuntimeError: no operation was counted.

    Example:
        >>> import torch
        >>> from akyolo.cost import cost
        >>> cost(torch.nn.Conv2d(3, 16, 3, padding=1, bias=False), 10, 20)
        Cost(params=432, gflops=0.0001728)
    """
    operations = thop.profile(model, inputs=[_image(model, height, width, channels)], custom_ops=RULES, verbose=False)[
        0
    ]
    if not operations:
        raise RuntimeError(f"no operation of {type(model).__name__} was counted")
    return Cost(sum(p.numel() for p in model.parameters()), 2 * operations / 1e9)


def fused_cost(model: Any, height: int, width: int, channels: int = 3) -> Cost:
    """Count a copy of `model` under the `fused` convention."""
    return cost(_fuse(model), height, width, channels)


def paper_cost(model: Any, height: int, width: int, channels: int = 3) -> Cost:
    """Count a copy of `model` under the `paper` convention."""
    fused = _fuse(model)
    ours = tuple(spec.module for spec in operators())
    for name, module in model.named_modules():
        if isinstance(module, ours):
            fused.set_submodule(name, copy.deepcopy(module))
    return cost(fused, height, width, channels)


def deployed_cost(model: Any, height: int, width: int, channels: int = 3) -> Cost:
    """Count a copy of `model` under the `deployed` convention."""
    fused = _fuse(model).eval()
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


def _fuse(model: Any) -> Any:
    """Return a copy with folded BN.

    A model without `fuse()` is only copied.
    """
    copied = copy.deepcopy(model)
    return copied.fuse(verbose=False) if hasattr(copied, "fuse") else copied


def _image(model: nn.Module, height: int, width: int, channels: int) -> torch.Tensor:
    parameter = next(model.parameters())
    return torch.zeros(1, channels, height, width, device=parameter.device, dtype=parameter.dtype)


def _count_column(layer: Any, _inputs: Sequence[Any], y: torch.Tensor) -> None:
    """Add one multiply-add per output and weight.

    thop's rule of a convolution would take the number of taps for the channels.
    """
    layer.total_ops += y.numel() * layer.weight[0].numel()


def _count_scope(layer: Any, inputs: Sequence[Any], y: torch.Tensor) -> None:
    """Add the multiply-adds of a convolution with the scope.

    A 1x1 with one kernel for each image is a matrix product and counts as such.
    """
    rotation = inputs[-1]
    is_matrix_product = layer.taps_per_side == 1 and rotation.dim() == 2  # one 1x1 kernel for each image
    layer.total_ops += y.numel() * (layer.weight.shape[1] if is_matrix_product else layer.weight[0].numel())


# of thop: (layer, inputs, output) -> None, adding multiply-adds to `layer.total_ops`
RULES: dict[type[nn.Module], Callable[..., None]] = {ColumnConv: _count_column, ScopeConv: _count_scope}


def _count_embedding_bag(pixels: tuple[int, ...], indices: tuple[int, ...], *_: Any, **__: Any) -> int:
    """Return the operations of a weighted sum.

    Each index adds one pixel, of all channels.
    """
    return 2 * prod(indices) * pixels[1]


def _count_grid_sample(*_: Any, out_shape: tuple[int, ...], **__: Any) -> int:
    return 2 * 4 * prod(out_shape)


# both realisations of akyolo.sampling.sample
SAMPLING = {
    torch.ops.aten._embedding_bag_forward_only: _count_embedding_bag,
    torch.ops.aten.grid_sampler_2d: _count_grid_sample,
}
