"""Upstream's Conv with something else in the place of its convolution: what most operators share."""

from typing import Any, ClassVar

from torch import Tensor, nn

from akyolo.checks import check_act
from akyolo.upstream_blocks import Conv


class OperatorConv(Conv):
    """An operator, then BN and activation; upstream's `fuse()` folds the BN into `conv`, as it does for a Conv.

    A subclass says in `raw` what comes before the BN: linear in the weight of `conv`, whose rows are the outputs.
    `raw` is also what is compared with the code that the operator's authors released.

    Args:
        c1: input channels.
        c2: output channels.
        conv: the layer with the weights that mix what the operator saw, without bias.
        act: as in upstream's Conv: true for its activation, false for none, or a module.

    Raises:
        RowError: channels or an activation that cannot be.
    """

    # without these, what the BN normalised stood elsewhere
    normalised: ClassVar[tuple[str, ...]] = ("conv.weight",)

    def __init__(self, c1: int, c2: int, conv: nn.Conv2d, act: bool | nn.Module = True) -> None:
        check_act(act)
        super().__init__(c1, c2, act=act)
        self.conv = conv

    def raw(self, x: Tensor) -> Tensor:
        """(B, c1, H, W) to (B, c2, h, w) in the memory format of x, before BN and activation."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """(B, c1, H, W) to (B, c2, ceil(H/stride), ceil(W/stride)), in the memory format of x."""
        return self.act(self.bn(self.raw(x)))

    def forward_fuse(self, x: Tensor) -> Tensor:
        """The same after upstream's `fuse()` has folded the BN into `conv`."""
        return self.act(self.raw(x))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        """No normalisation without the convolution it is of: a plain Conv stood in this row, its BN fits by name."""
        if any(prefix + name not in state_dict for name in self.normalised):
            for key in [key for key in state_dict if key.startswith(f"{prefix}bn.")]:
                del state_dict[key]
        super()._load_from_state_dict(state_dict, prefix, *args)
