"""Replaceable convolutions for Ultralytics YOLO.

After `import akyolo`, plain `from ultralytics import YOLO` builds our model YAMLs and opens our checkpoints.
`akyolo.YOLO` also trains, validates and exports them. The operators are ordinary modules: they work in any network.
"""

from akyolo import blocks, heads, ops  # noqa: F401  registers what a YAML may name
from akyolo.api import count, score, swap
from akyolo.ops.akconv import AKConv, akconv
from akyolo.ops.cond_conv import CondConv, cond_conv
from akyolo.ops.deform_conv import DeformConv, ModulatedDeformConv, deform_conv
from akyolo.ops.deform_kernel import DeformKernel, DeformKernelConv, deform_kernel, deform_kernel_conv
from akyolo.ops.dsconv import DSConv, dsconv
from akyolo.ops.global_deform_kernel import GlobalDeformKernel, global_deform_kernel
from akyolo.ops.irregular_conv import IrregularConv, irregular_conv
from akyolo.ops.rfaconv import RFAConv, rfaconv
from akyolo.registry import import_installed, open_former_names, operators, register
from akyolo.sampling import initial_shape, sample
from akyolo.sampling.sampled_conv import sampled_conv
from akyolo.upstream.model import YOLO

__version__ = "0.2.0"
LDConv = AKConv  # the name under which AKConv was published later
__all__ = [
    "YOLO",
    "AKConv",
    "CondConv",
    "DSConv",
    "DeformConv",
    "DeformKernel",
    "DeformKernelConv",
    "GlobalDeformKernel",
    "IrregularConv",
    "LDConv",
    "ModulatedDeformConv",
    "RFAConv",
    "akconv",
    "cond_conv",
    "count",
    "deform_conv",
    "deform_kernel",
    "deform_kernel_conv",
    "dsconv",
    "global_deform_kernel",
    "initial_shape",
    "irregular_conv",
    "operators",
    "register",
    "rfaconv",
    "sample",
    "sampled_conv",
    "score",
    "swap",
]

open_former_names()
import_installed()  # last: they may import all of the above
