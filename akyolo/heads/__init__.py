"""Anchor-based detection heads and a classifier.

Importing this package registers them.
"""

from akyolo.heads.anchor_detect import AnchorDetect, IDetect
from akyolo.heads.classifier import Classifier

__all__ = ["AnchorDetect", "Classifier", "IDetect"]
