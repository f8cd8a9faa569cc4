"""Parameters and arithmetic of a model."""

from dataclasses import dataclass

import thop
import torch
from torch import nn


@dataclass(frozen=True)
class Cost:
    """Parameters, and 1e9 floating point operations of one image: twice the multiply-adds that thop counts."""

    params: int
    gflops: float


def cost(model: nn.Module, height: int, width: int, channels: int = 3) -> Cost:
    """Count one forward pass of `model` in eval mode on zeros of (1, channels, height, width) pixels."""
    parameter = next(model.parameters())
    image = torch.zeros(1, channels, height, width, device=parameter.device, dtype=parameter.dtype)
    operations = thop.profile(model, inputs=[image], verbose=False)[0]
    return Cost(sum(p.numel() for p in model.parameters()), 2 * operations / 1e9)
