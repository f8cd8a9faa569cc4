"""Edit a model YAML by rules."""

from akyolo.swapping.rewrite import ChangedRow, swap
from akyolo.swapping.rule import SwapRule

__all__ = ["ChangedRow", "SwapRule", "swap"]
