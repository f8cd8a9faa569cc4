"""Sample and convolve feature maps at any positions."""

from akyolo.sampling.bilinear import PADDING_MODES, call_in_sampling_format, captures_a_graph, sample
from akyolo.sampling.memory_formats import call_in_format, keeps_memory_format
from akyolo.sampling.positions import Point, Shape, initial_shape, kernel_positions, pad_if_even, regular_grid
from akyolo.sampling.sampled_conv import mix, sampled_conv

__all__ = [
    "PADDING_MODES",
    "Point",
    "Shape",
    "call_in_format",
    "call_in_sampling_format",
    "captures_a_graph",
    "initial_shape",
    "keeps_memory_format",
    "kernel_positions",
    "mix",
    "pad_if_even",
    "regular_grid",
    "sample",
    "sampled_conv",
]
