"""Time the models of a table.

They are timed in one process, interleaved, after all trainings.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from akyolo.bench.measure import forward, interleave, median_and_iqr, synchroniser
from akyolo.experiments.run.environment import hardware
from akyolo.upstream.model import YOLO

ROUNDS = 20


def time_models(weights: Mapping[str, Path], imgsz: int, device: torch.device) -> dict[str, Any]:
    """Return the milliseconds of each model.

    The models are trained, fused and in float32; the time is that from the image to the output of the head.

    Args:
        weights: files by row.
        imgsz: height and width of the image in pixels.
        device: where the models run.

    Returns:
        `rounds`, `imgsz`, `hardware` and `rows`; each row has `median_ms` and `iqr_ms`.
    """
    torch.manual_seed(0)
    steps = {}
    for row, file in weights.items():
        network: Any = YOLO(str(file)).model
        image = torch.rand(1, network.yaml.get("channels", 3), imgsz, imgsz, device=device)
        steps[row] = forward(network.to(device).fuse(verbose=False), image).step
    seconds = interleave(steps, ROUNDS, synchroniser(device))
    times = {row: median_and_iqr(values) for row, values in seconds.items()}
    return {
        "rounds": ROUNDS,
        "imgsz": imgsz,
        "hardware": hardware(device),
        "rows": {row: {"median_ms": 1e3 * median, "iqr_ms": 1e3 * iqr} for row, (median, iqr) in times.items()},
    }
