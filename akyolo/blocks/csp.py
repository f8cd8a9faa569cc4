"""Put an operator inside upstream's CSP blocks.

The blocks are C3, C2f and C3k2. A model YAML writes `C3(AKConv)`. The operator replaces the second convolution (`cv2`)
of every bottleneck, the 3x3 that AKConv's paper replaces in C3 (arXiv 2311.11587, Tables 4 and 5). The block stays a
class of upstream, so that not every pair of block and operator needs a class of ours.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from akyolo.errors import RowError
from akyolo.registry import OperatorSpec
from akyolo.upstream_blocks import Bottleneck


def put_inside(block: nn.Module, spec: OperatorSpec, keywords: Mapping[str, Any]) -> None:
    """Put an operator into each bottleneck of a block.

    It replaces the second convolution.

    Args:
        block: a newly built C3, C2f or C3k2; changed in place.
        spec: an operator that keeps the size of its input at its default stride.
        keywords: its arguments other than channels and stride.

    Raises:
        RowError: grouped bottlenecks for an operator without groups, or arguments that the operator refuses.
    """
    for bottleneck in [module for module in block.modules() if isinstance(module, Bottleneck)]:
        replaced = bottleneck.cv2
        groups = {} if replaced.conv.groups == 1 else {"groups": replaced.conv.groups}
        if groups and "groups" not in spec.signature.parameters:
            raise RowError(f"the bottlenecks have {replaced.conv.groups} groups, but {spec.name} has no groups")
        c1, c2 = replaced.conv.in_channels, replaced.conv.out_channels
        bottleneck.cv2 = spec.build(replaced.act, c1, c2, **{**groups, **keywords})
