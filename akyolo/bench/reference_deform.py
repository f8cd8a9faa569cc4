"""DeformConv and ModulatedDeformConv on torchvision's kernel, for comparison.

They are for benchmarks and tests: no model YAML can name them. They use that kernel on every device.
"""

from torch import Tensor

from akyolo.ops.deform_conv import DeformConv, ModulatedDeformConv, by_torchvision
from akyolo.sampling import converted, memory_format


class _ByTorchvision(DeformConv):
    """A deformable convolution on torchvision's kernel."""

    def raw(self, x: Tensor) -> Tensor:
        """Return the output before BN and activation.

        Args:
            x: (B, c1, H, W).

        Returns:
            (B, c2, h, w).
        """
        conv, offset, mask = self.conv, self.offset_conv(x), self.mask(x)
        mixed = by_torchvision(x, offset, conv.weight, conv.bias, **conv.geometry, mask=mask)
        return converted(mixed, memory_format(x))


class TorchvisionDeformConv(_ByTorchvision):
    """DeformConv on torchvision's kernel, with the same arguments."""


class TorchvisionModulatedDeformConv(_ByTorchvision, ModulatedDeformConv):
    """ModulatedDeformConv on torchvision's kernel, with the same arguments."""
