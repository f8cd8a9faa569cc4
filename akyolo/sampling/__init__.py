"""Where kernels look (positions) and what they see there (bilinear): the only interpolation in the project."""

from akyolo.sampling.bilinear import PADDING_MODES, sample, sampling_format
from akyolo.sampling.offset_conv import OffsetConv
from akyolo.sampling.positions import Point, initial_shape, kernel_positions

__all__ = ["PADDING_MODES", "OffsetConv", "Point", "initial_shape", "kernel_positions", "sample", "sampling_format"]
