"""Blocks whose convolutions a model YAML may replace.

Importing this package registers them.
"""

from akyolo.blocks.depthwise_bottleneck import DWBottleneck
from akyolo.blocks.inverted_residual import InvertedResidual

__all__ = ["DWBottleneck", "InvertedResidual"]
