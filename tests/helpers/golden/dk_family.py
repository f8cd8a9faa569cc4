"""The family of deformable kernels: local, global, and with a deformable convolution (DC+DK)."""

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from akyolo.layers import sampled_kernels
from akyolo.ops.deform_kernel import deform_kernel, deform_kernel_conv
from akyolo.ops.global_deform_kernel import global_deform_kernel
from tests.helpers.golden.families import Arrays, close, family, tensor


@family
def dk(arrays: Arrays, entry: dict[str, Any]) -> None:
    for dtype in (torch.float64, torch.float32):
        case = Case(arrays, entry, dtype)
        if "fc_weight" in arrays:
            case.check_global()
        else:
            case.check_moves_given()
            if "rotation_conv_weight" in arrays:
                case.check_moves_learned()


class Case:
    """One golden file in one dtype."""

    def __init__(self, arrays: Arrays, entry: dict[str, Any], dtype: torch.dtype) -> None:
        self.arrays, self.dtype = arrays, dtype
        self.scope = arrays["weight"].shape[-1]
        self.rotation_groups, self.clip = entry.get("rotation_groups", 1), entry.get("rotation_clip") == "scope"
        self.k = entry.get("kernel", 3)
        self.stride, self.dilation = entry.get("stride", 1), entry.get("dilation", 1)
        self.padding = entry.get("padding", self.dilation * (self.k // 2))
        self.groups = entry.get("groups", arrays["x"].shape[1] // arrays["weight"].shape[1])
        start = (self.scope - self.k) / 2
        yx = torch.cartesian_prod(torch.arange(self.k), torch.arange(self.k)) + start
        self.start = yx.to(dtype).flatten().repeat(self.rotation_groups)

    def leaves(self, *names: str) -> dict[str, Tensor]:
        return {name: tensor(self.arrays[name], self.dtype).requires_grad_() for name in names if name in self.arrays}

    def close(self, ours: Tensor, name: str) -> None:
        golden = self.arrays[name].astype("float64")
        close(ours, golden, name, 1e-6 * max(1.0, float(abs(golden).max())))

    def check(self, out: Tensor, leaves: dict[str, Tensor], prefix: str) -> None:
        self.close(out, "out")
        grads = torch.autograd.grad((out * tensor(self.arrays["G"], self.dtype)).sum(), [*leaves.values()])
        missing = [name for name in self.arrays if name.startswith(prefix) and name.removeprefix(prefix) not in leaves]
        assert not missing
        for name, grad in zip(leaves, grads, strict=True):
            if prefix + name in self.arrays:
                self.close(grad, prefix + name)

    def padded(self, x: Tensor) -> Tensor:
        """Ours pads so that stride 1 keeps the size: another padding is zeros more or fewer."""
        return F.pad(x, [self.padding - self.dilation * (self.k // 2)] * 4)

    def check_global(self) -> None:
        leaves = self.leaves("x", "fc_weight", "fc_bias", "weight")
        rotation = F.linear(leaves["x"].mean((2, 3)), leaves["fc_weight"], leaves["fc_bias"])
        self.close((rotation + self.start).clamp(0, self.scope - 1), "coord")
        kernels = sampled_kernels(rotation[..., None, None], leaves["weight"])
        self.close(rearrange(kernels, "b o i (u v) 1 1 -> (b o) i u v", u=self.k), "dynamic_weight")
        x = self.padded(leaves["x"])
        out = global_deform_kernel(x, rotation, leaves["weight"], self.stride, self.dilation, self.groups)
        self.check(out, leaves, "grad_")

    def check_moves_given(self) -> None:
        """The operator alone: the file's rotation is clipped where the release clips."""
        leaves = self.leaves("x", "weight", "rotation", "offset")
        self.check(self.deformed(**leaves, clip=False), leaves, "op_grad_")

    def check_moves_learned(self) -> None:
        """With the convolutions that say the moves."""
        moves = [f"{move}_conv_{part}" for move in ("rotation", "offset") for part in ("weight", "bias")]
        leaves = self.leaves("x", "weight", *moves)
        said = {}
        for move in ("rotation", "offset"):
            if f"{move}_conv_weight" in leaves:
                weight, bias = leaves[f"{move}_conv_weight"], leaves[f"{move}_conv_bias"]
                said[move] = F.conv2d(leaves["x"], weight, bias, self.stride, self.padding, self.dilation)
        start = self.start[:, None, None]
        rotation = (said["rotation"] + start).clamp(0, self.scope - 1) - start if self.clip else said["rotation"]
        self.close(rotation, "rotation")
        if "offset" in said:
            self.close(said["offset"], "offset")
        self.check(self.deformed(leaves["x"], leaves["weight"], **said, clip=self.clip), leaves, "grad_")

    def deformed(
        self,
        x: Tensor,
        weight: Tensor,
        rotation: Tensor | None = None,
        offset: Tensor | None = None,
        clip: bool = True,
    ) -> Tensor:
        """As released: without a rotation there is none, and offsets are multiplied by the dilation."""
        how = (weight, self.stride, self.dilation, self.groups, self.rotation_groups, clip)
        if rotation is None:
            b, _, h, w = self.arrays["G"].shape
            rotation = x.new_zeros(b, 2 * self.rotation_groups * self.k**2, h, w)
        if offset is None:
            return deform_kernel(self.padded(x), rotation, *how)
        return deform_kernel_conv(self.padded(x), offset * self.dilation, rotation, *how)
