"""Edit a model YAML by rules: which convolutions become which operator."""

from akyolo.swapping.rewrite import ChangedRow, SwapRule, swap

__all__ = ["ChangedRow", "SwapRule", "swap"]
