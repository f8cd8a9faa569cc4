"""Where kernels look (positions), what they see there (bilinear), and how it is mixed (sampled_conv)."""

from akyolo.sampling.bilinear import PADDING_MODES, captures_a_graph, sample, sampling_format
from akyolo.sampling.memory_formats import converted, memory_format
from akyolo.sampling.positions import Point, Shape, initial_shape, kernel_positions, pad_if_even, regular_grid
from akyolo.sampling.sampled_conv import mix, sampled_conv

__all__ = [
    "PADDING_MODES",
    "Point",
    "Shape",
    "captures_a_graph",
    "converted",
    "initial_shape",
    "kernel_positions",
    "memory_format",
    "mix",
    "pad_if_even",
    "regular_grid",
    "sample",
    "sampled_conv",
    "sampling_format",
]
