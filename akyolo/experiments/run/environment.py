"""What a record says of the machine and the programs."""

import os
import platform
import resource
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from akyolo import __version__


def versions() -> dict[str, str]:
    """Of what decides the numbers."""
    return {
        "akyolo": __version__,
        "ultralytics": version("ultralytics"),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def hardware(device: torch.device) -> dict[str, Any]:
    """The device of a training, and what it stands in."""
    return {
        "device": str(device),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    }


def peak_bytes(device: torch.device) -> int | None:
    """The most memory of this process so far: what CUDA allocated at once, on CPU its resident set.

    None where other processes of this machine's GPUs did the work.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) or None
    # not getrusage where it can be helped: on Linux a child begins with the peak of the process that started it
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
