"""An operator inside upstream's CSP blocks (C3, C2f, C3k2), written `C3(AKConv)` in a model YAML.

Where: the second convolution (`cv2`) of every bottleneck, the 3x3 that AKConv's paper replaces in C3 (arXiv 2311.11587,
Tables 4 and 5). The block stays upstream's own class, so that there is none of ours per pair of block and operator.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from akyolo.errors import RowError
from akyolo.registry import OperatorSpec
from akyolo.upstream_blocks import Bottleneck


def put_inside(block: nn.Module, spec: OperatorSpec, keywords: Mapping[str, Any]) -> None:
    """Replace the second convolution of each bottleneck in a newly built `block` by the operator.

    Args:
        block: a C3, C2f or C3k2; changed in place.
        spec: an operator that keeps the size of its input at its default stride.
        keywords: its arguments besides channels and stride.

    Raises:
        RowError: grouped bottlenecks for an operator without groups, or arguments that the operator refuses.
    """
    for bottleneck in [module for module in block.modules() if isinstance(module, Bottleneck)]:
        replaced = bottleneck.cv2
        groups = {} if replaced.conv.groups == 1 else {"groups": replaced.conv.groups}
        if groups and "groups" not in spec.signature.parameters:
            raise RowError(f"the bottlenecks have {replaced.conv.groups} groups, {spec.name} takes none")
        c1, c2 = replaced.conv.in_channels, replaced.conv.out_channels
        bottleneck.cv2 = spec.build(replaced.act, c1, c2, **{**groups, **keywords})
