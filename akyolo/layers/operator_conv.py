"""The base class of most operators.

It is Ultralytics' Conv with an operator in place of the convolution.
"""

from typing import Any, ClassVar

from torch import Tensor, nn

from akyolo.checks import check_act
from akyolo.sampling import call_in_format, call_in_sampling_format
from akyolo.upstream_blocks import Conv


class OperatorConv(Conv):
    """Apply an operator, then BN and an activation.

    A subclass computes in `raw` what comes before the BN. This must be linear in the weight of `conv`, whose rows are
    the output channels: upstream's `fuse()` folds the BN into it, as in a Conv. The memory format is converted here:
    the input to the format that `raw` reads fastest, and its result back.

    Args:
        c1: input channels.
        c2: output channels.
        conv: the layer with the mixing weights, without bias.
        act: as in Ultralytics' Conv: true for its default activation, false for none, or a module.

    Raises:
        RowError: `act` is neither true, false, nor a module.
    """

    # If one of these keys is missing, the checkpoint had a plain Conv in this row: its BN statistics are not loaded.
    normalised: ClassVar[tuple[str, ...]] = ("conv.weight",)
    # Whether `raw` passes its input to `sample`.
    samples_input: ClassVar[bool] = False

    def __init__(self, c1: int, c2: int, conv: nn.Conv2d, act: bool | nn.Module = True) -> None:
        """Build the BN and the activation."""
        check_act(act)
        super().__init__(c1, c2, act=act)
        self.conv = conv

    def raw(self, x: Tensor) -> Tensor:
        """Apply the operator alone, before BN and activation.

        This is what is compared with the released code of the operator's authors.

        Args:
            x: (B, c1, H, W), floating point.
        """
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Apply the operator, BN and activation.

        Args:
            x: (B, c1, H, W), floating point.

        Returns:
            (B, c2, ceil(H/stride), ceil(W/stride)) in the memory format of x.
        """
        return self.act(self.bn(self._operate(x)))

    def forward_fuse(self, x: Tensor) -> Tensor:
        """Apply the operator and activation.

        `fuse()` has folded the BN into `conv`.

        Args:
            x: (B, c1, H, W), floating point.

        Returns:
            (B, c2, ceil(H/stride), ceil(W/stride)) in the memory format of x.
        """
        return self.act(self._operate(x))

    def _operate(self, x: Tensor) -> Tensor:
        """Return `raw(x)` in the memory format of x."""
        return call_in_sampling_format(self.raw, x) if self.samples_input else call_in_format(self.raw, x)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        """Load the weights, without the BN of a plain Conv."""
        if any(prefix + name not in state_dict for name in self.normalised):
            for key in [key for key in state_dict if key.startswith(f"{prefix}bn.")]:
                del state_dict[key]
        super()._load_from_state_dict(state_dict, prefix, *args)
