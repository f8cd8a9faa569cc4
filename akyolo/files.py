"""Files are replaced as a whole: whoever looks sees the old one or the new one."""

import os
from pathlib import Path


def write(file: Path, data: bytes) -> None:
    """Write beside the file, flush to disk, rename over it, flush the folder; what an error left is removed."""
    partial = Path(file.parent, f".{file.name}-{os.getpid()}.partial")
    try:
        partial.write_bytes(data)
        replace(partial, file)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


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
