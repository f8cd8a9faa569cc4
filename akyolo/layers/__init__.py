"""The layers of which operators are made."""

from akyolo.layers.column_conv import ColumnConv
from akyolo.layers.dynamic_conv import regular_taps, sum_over_taps
from akyolo.layers.offset_conv import OffsetConv, ZeroConv, ZeroLinear
from akyolo.layers.operator_conv import OperatorConv
from akyolo.layers.scope_conv import ScopeConv, sampled_kernels

__all__ = [
    "ColumnConv",
    "OffsetConv",
    "OperatorConv",
    "ScopeConv",
    "ZeroConv",
    "ZeroLinear",
    "regular_taps",
    "sampled_kernels",
    "sum_over_taps",
]
