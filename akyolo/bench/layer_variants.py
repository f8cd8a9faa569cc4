"""The variants of a layer that are compared."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from akyolo.bench.measure import spread_offsets
from akyolo.bench.reference_akconv import DeformColumn, FourGather
from akyolo.bench.reference_deform import TorchvisionDeformConv, TorchvisionModulatedDeformConv
from akyolo.ops.akconv import AKConv
from akyolo.ops.deform_conv import DeformConv, ModulatedDeformConv
from akyolo.upstream_blocks import Conv

PLAIN = ("plain", "plain channels_last")
OURS = ("ours", "ours channels_last")
TORCHVISION = ("deform_conv2d", "deform_conv2d channels_last")
FOUR_GATHER, DEFORM = "four-gather", TORCHVISION[0]
# by operator: the labels of ratios, and the variants that each label stands for
REFERENCES: dict[str, dict[str, Sequence[str]]] = {
    "AKConv": {"plain": PLAIN, "four_gather": (FOUR_GATHER,)},
    "DeformConv": {"plain": PLAIN, "torchvision": TORCHVISION},
    "ModulatedDeformConv": {"plain": PLAIN, "torchvision": TORCHVISION},
}
TOLERANCE = 1e-9  # relative to the largest output, in float64


def layer_variants(op: str, c1: int, c2: int, x: Tensor, num_param: int | None = None) -> dict[str, nn.Module]:
    """Return the variants of a layer of stride 2.

    The variants are on the device of x. Those that compute the operator have the same weights.

    Args:
        op: a key of REFERENCES.
        c1: input channels.
        c2: output channels.
        x: (B, c1, H, W), an input for which the offsets get a standard deviation of 2 pixels.
        num_param: number of taps of AKConv, by default 5. A deformable kernel is 3x3.

    Raises:
        RowError: no kernel has so many taps.
    """
    operator_variants = (
        _akconv(c1, c2, 5 if num_param is None else num_param) if op == "AKConv" else _deformable(op, c1, c2)
    )
    modules = {
        name: module.to(x.device)
        for name, module in (operator_variants | dict.fromkeys(PLAIN, Conv(c1, c2, 3, 2))).items()
    }
    spread_offsets(modules[OURS[0]], x)
    for name in operator_variants:
        modules[name].load_state_dict(modules[OURS[0]].state_dict())
    return {name: copy.deepcopy(module).to(memory_format=format_of(name)) for name, module in modules.items()}


def _akconv(c1: int, c2: int, num_param: int) -> dict[str, nn.Module]:
    """Return AKConv and its reference implementations."""
    four_gather, deform = FourGather(c1, c2, num_param, 2), DeformColumn(c1, c2, num_param, 2)
    return {FOUR_GATHER: four_gather, DEFORM: deform, **dict.fromkeys(OURS, AKConv(c1, c2, num_param, 2))}


def _deformable(op: str, c1: int, c2: int) -> dict[str, nn.Module]:
    """Return the variants of a deformable convolution.

    One is on akyolo's sampler, the other on torchvision's kernel.
    """
    reference, ours = {
        "DeformConv": (TorchvisionDeformConv, DeformConv),
        "ModulatedDeformConv": (TorchvisionModulatedDeformConv, ModulatedDeformConv),
    }[op]
    return {**dict.fromkeys(TORCHVISION, reference(c1, c2, 3, 2)), **dict.fromkeys(OURS, ours(c1, c2, 3, 2))}


def format_of(variant: str) -> torch.memory_format:
    """Return the memory format of a variant."""
    return torch.channels_last if variant.endswith("channels_last") else torch.contiguous_format


def check_equal(modules: Mapping[str, nn.Module], x: Tensor) -> None:
    """Check that variants compute the same.

    They are compared in float64. Each reference is compared with the operator in its own `padding_mode`.

    Raises:
        RuntimeError: outputs differ by more than TOLERANCE of the largest.
    """

    def output(name: str, padding_mode: str) -> Tensor:
        module: Any = copy.deepcopy(modules[name]).double().eval()
        module.padding_mode = padding_mode
        with torch.no_grad():
            return module(x.to(torch.float64, memory_format=format_of(name)))

    for name in [name for name in modules if name not in (OURS[0], *PLAIN)]:
        padding_mode = "official" if name == FOUR_GATHER else "zeros"
        expected = output(OURS[0], padding_mode)
        error = ((output(name, padding_mode) - expected).abs().max() / expected.abs().max()).item()
        if not error <= TOLERANCE:
            raise RuntimeError(
                f"{name} and {OURS[0]} differ by {error:.1e} of the largest output, so they are not compared"
            )
