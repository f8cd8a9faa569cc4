"""Replace a file by another as a whole."""

import os
from pathlib import Path


def replace(new: Path, old: Path) -> None:
    """Rename `new` over `old`, both on disk before anybody can see the new name."""
    _flush(new)
    new.replace(old)
    _flush(old.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
