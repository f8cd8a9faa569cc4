"""Where kernels look (positions), what they see there (bilinear), and the convolutions before and after."""

from akyolo.sampling.bilinear import PADDING_MODES, sample, sampling_format
from akyolo.sampling.column_conv import ColumnConv, mix
from akyolo.sampling.memory_formats import converted, memory_format
from akyolo.sampling.offset_conv import OffsetConv
from akyolo.sampling.positions import Point, initial_shape, kernel_positions, regular_grid

__all__ = [
    "PADDING_MODES",
    "ColumnConv",
    "OffsetConv",
    "Point",
    "converted",
    "initial_shape",
    "kernel_positions",
    "memory_format",
    "mix",
    "regular_grid",
    "sample",
    "sampling_format",
]
