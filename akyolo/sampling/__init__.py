"""Where kernels look (positions), what they see there (bilinear), and the convolutions before and after."""

from akyolo.sampling.bilinear import PADDING_MODES, captures_a_graph, sample, sampling_format
from akyolo.sampling.column_conv import ColumnConv, mix, sampled_conv
from akyolo.sampling.memory_formats import converted, memory_format
from akyolo.sampling.offset_conv import OffsetConv, ZeroConv, ZeroLinear
from akyolo.sampling.positions import Point, Shape, initial_shape, kernel_positions, pad_if_even, regular_grid
from akyolo.sampling.scope_conv import ScopeConv
from akyolo.sampling.tap_sum import regular_taps, sum_over_taps

__all__ = [
    "PADDING_MODES",
    "ColumnConv",
    "OffsetConv",
    "Point",
    "ScopeConv",
    "Shape",
    "ZeroConv",
    "ZeroLinear",
    "captures_a_graph",
    "converted",
    "initial_shape",
    "kernel_positions",
    "memory_format",
    "mix",
    "pad_if_even",
    "regular_grid",
    "regular_taps",
    "sample",
    "sampled_conv",
    "sampling_format",
    "sum_over_taps",
]
