"""Replace files as a whole: whoever looks sees the old one or the new one, never half of it."""

import contextlib
import errno
import io
import os
from pathlib import Path
from typing import Any

import torch

from akyolo.errors import TrainingError


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


class AtomicPath(type(Path())):  # type: ignore[misc]
    """A path whose `write_bytes` replaces the file as a whole, whatever kills the process; its children are alike."""

    def write_bytes(self, data: bytes) -> int:
        """Write beside the file, flush to disk, rename over it, flush the folder.

        Raises:
            TrainingError: the disk is full; what was there before is untouched.
        """
        try:
            write(self, data)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise TrainingError(
                f"no space left to save {self}: {len(data):,} bytes needed",
                remedy="free some space and resume; the file that was there before is untouched",
            ) from None
        return len(data)


def save(state: Any, file: AtomicPath) -> None:
    """`torch.save` into a whole file; it would open the path itself and write in place."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    file.write_bytes(buffer.getvalue())


def remove_partial(folder: Path) -> None:
    """What a kill left of files that were being written; for who knows that nobody writes there now."""
    for left_by_a_kill in folder.glob(".*.partial"):
        left_by_a_kill.unlink()


def keep_previous(file: Path) -> None:
    """Give the present file its second name, `last-1.pt` for `last.pt`, before it is replaced."""
    previous = file.with_stem(f"{file.stem}-1")
    if file.exists():
        previous.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a file system without hard links: the file itself is safe all the same
            os.link(file, previous)
