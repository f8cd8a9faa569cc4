"""One downsampling layer in all the variants that `akyolo bench ops` compares, with the same weights."""

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
# per operator, what times are compared with
REFERENCES: dict[str, dict[str, Sequence[str]]] = {
    "AKConv": {"plain": PLAIN, "four_gather": (FOUR_GATHER,)},
    "DeformConv": {"plain": PLAIN, "torchvision": TORCHVISION},
    "ModulatedDeformConv": {"plain": PLAIN, "torchvision": TORCHVISION},
}
TOLERANCE = 1e-9  # of the largest output, in float64


def layer_variants(op: str, c1: int, c2: int, x: Tensor, num_param: int | None = None) -> dict[str, nn.Module]:
    """A layer of stride 2 in all its variants, on the device of `x`; those of the operator share their weights.

    Args:
        op: a key of REFERENCES.
        c1: input channels.
        c2: output channels.
        x: (B, c1, H, W), for which offsets get a standard deviation of 2 pixels.
        num_param: taps of AKConv, by default 5; a deformable kernel is 3 x 3.

    Raises:
        RowError: no kernel has so many taps.
    """
    of_op = _akconv(c1, c2, 5 if num_param is None else num_param) if op == "AKConv" else _deformable(op, c1, c2)
    modules = {name: module.to(x.device) for name, module in (of_op | dict.fromkeys(PLAIN, Conv(c1, c2, 3, 2))).items()}
    spread_offsets(modules[OURS[0]], x)
    for name in of_op:
        modules[name].load_state_dict(modules[OURS[0]].state_dict())
    return {name: copy.deepcopy(module).to(memory_format=format_of(name)) for name, module in modules.items()}


def _akconv(c1: int, c2: int, num_param: int) -> dict[str, nn.Module]:
    four_gather, deform = FourGather(c1, c2, num_param, 2), DeformColumn(c1, c2, num_param, 2)
    return {FOUR_GATHER: four_gather, DEFORM: deform, **dict.fromkeys(OURS, AKConv(c1, c2, num_param, 2))}


def _deformable(op: str, c1: int, c2: int) -> dict[str, nn.Module]:
    theirs, ours = {
        "DeformConv": (TorchvisionDeformConv, DeformConv),
        "ModulatedDeformConv": (TorchvisionModulatedDeformConv, ModulatedDeformConv),
    }[op]
    return {**dict.fromkeys(TORCHVISION, theirs(c1, c2, 3, 2)), **dict.fromkeys(OURS, ours(c1, c2, 3, 2))}


def format_of(variant: str) -> torch.memory_format:
    """The memory format that a variant's name ends in."""
    return torch.channels_last if variant.endswith("channels_last") else torch.contiguous_format


def check_equal(modules: Mapping[str, nn.Module], x: Tensor) -> None:
    """Refuse to time methods that do not compute the same: in float64, with the border that each of them has.

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
            raise RuntimeError(f"{name} and {OURS[0]} differ by {error:.1e} of the largest output: nothing to compare")
