"""Describe the machine and its programs."""

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
    """Return the versions that decide the results."""
    return {
        "akyolo": __version__,
        "ultralytics": version("ultralytics"),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def hardware(device: torch.device) -> dict[str, Any]:
    """Return the device and machine of a training."""
    return {
        "device": str(device),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    }


def peak_bytes(device: torch.device) -> int | None:
    """Return the largest memory of this process.

    Returns:
        Bytes that CUDA allocated at once, or the resident set on CPU; None if other processes used the GPUs.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) or None
    # On Linux, getrusage of a child begins with the peak of the process that started it.
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
