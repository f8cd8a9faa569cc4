"""DeformConv and ModulatedDeformConv by torchvision's kernel on every device, to be measured against.

For benchmarks and tests: no model YAML can name them.
"""

from torch import Tensor

from akyolo.ops.deform_conv import DeformConv, ModulatedDeformConv, deform_by_torchvision


class _ByTorchvision(DeformConv):
    samples_input = False

    def raw(self, x: Tensor) -> Tensor:
        """(B, c1, H, W) to (B, c2, h, w), before BN and activation."""
        conv, offset, mask = self.conv, self.offset_conv(x), self.mask(x)
        return deform_by_torchvision(x, offset, conv.weight, conv.bias, **conv.geometry, mask=mask)


class TorchvisionDeformConv(_ByTorchvision):
    """DeformConv, whose arguments it takes."""


class TorchvisionModulatedDeformConv(_ByTorchvision, ModulatedDeformConv):
    """ModulatedDeformConv, whose arguments it takes."""
