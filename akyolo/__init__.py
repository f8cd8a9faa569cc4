"""Replaceable convolutions for Ultralytics YOLO.

Importing it is enough for plain `from ultralytics import YOLO` to understand our model YAMLs and checkpoints.
"""

from akyolo import blocks, heads, ops  # noqa: F401  registers what a YAML may name
from akyolo.registry import import_installed, register
from akyolo.upstream.model import YOLO

__version__ = "0.2.0"
__all__ = ["YOLO", "register"]

import_installed()  # last: they may import all of the above
