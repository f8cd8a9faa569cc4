"""Edit a model YAML by rules: which convolutions become which operator."""

from akyolo.swapping.rewrite import ChangedRow, swap
from akyolo.swapping.rule import SwapRule

__all__ = ["ChangedRow", "SwapRule", "swap"]
