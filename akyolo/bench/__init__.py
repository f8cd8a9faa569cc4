"""Measure the time and memory of operators."""

from akyolo.bench.run import BenchSettings, measure_layers, measure_models

__all__ = ["BenchSettings", "measure_layers", "measure_models"]
