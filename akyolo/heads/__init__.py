"""The detection heads: importing this package registers them."""

from akyolo.heads.anchor_detect import AnchorDetect, IDetect

__all__ = ["AnchorDetect", "IDetect"]
