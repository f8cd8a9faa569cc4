"""DeformConv and ModulatedDeformConv on torchvision's kernel, for comparison.

They are for benchmarks and tests: no model YAML can name them. They use that kernel on every device.
"""

from torch import Tensor

from akyolo.ops.deform_conv import DeformConv, ModulatedDeformConv, deform_by_torchvision


class _ByTorchvision(DeformConv):
    """A deformable convolution on torchvision's kernel."""

    samples_input = False

    def raw(self, x: Tensor) -> Tensor:
        """Return the output before BN and activation.

        Args:
            x: (B, c1, H, W).

        Returns:
            (B, c2, h, w).
        """
        conv, offset, mask = self.conv, self.offset_conv(x), self.mask(x)
        return deform_by_torchvision(x, offset, conv.weight, conv.bias, **conv.geometry, mask=mask)


class TorchvisionDeformConv(_ByTorchvision):
    """DeformConv on torchvision's kernel, with the same arguments."""


class TorchvisionModulatedDeformConv(_ByTorchvision, ModulatedDeformConv):
    """ModulatedDeformConv on torchvision's kernel, with the same arguments."""
