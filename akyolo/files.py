"""Write whole files and folders, and lock them.

A reader sees the old version or the new one, never a partly written one, even if the writing process is killed.
"""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from akyolo.errors import TrainingError

PARTIAL = "partial"


def write(file: Path, data: bytes) -> None:
    """Replace a file as a whole.

    The data are written to a file in the same folder and flushed to disk before they are renamed.
    """
    partial = Path(file.parent, f".{file.name}-{os.getpid()}.{PARTIAL}")
    try:
        partial.write_bytes(data)
        replace(partial, file)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def replace(new: Path, old: Path) -> None:
    """Rename `new` to `old` after flushing it."""
    _flush(new)
    new.replace(old)
    _flush(old.parent)


def _flush(path: Path) -> None:
    """Write a file or a folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class AtomicPath(type(Path())):  # type: ignore[misc]
    """A path that replaces files as a whole.

    This holds for `write_bytes`.

    Paths derived from it (`/`, `with_name`, ...) have the same type.
    """

    def write_bytes(self, data: bytes) -> int:
        """Replace the file; return the number of bytes.

        Raises:
            TrainingError: The disk is full. The previous content of the file is kept.
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


def remove_partial(folder: Path) -> None:
    """Delete partial files of killed processes.

    Call it only while holding the lock of the folder: a partial file may belong to a process that is writing it.
    """
    for leftover in folder.glob(f".*.{PARTIAL}"):
        leftover.unlink()


def keep_previous(file: Path) -> None:
    """Keep a file under a second name.

    This is `last-1.pt` for `last.pt`.
    """
    previous = file.with_stem(f"{file.stem}-1")
    if file.exists():
        previous.unlink(missing_ok=True)
        # A file system without hard links cannot keep it. The file itself is safe without.
        with contextlib.suppress(OSError):
            os.link(file, previous)


def remove(path: Path) -> None:
    """Delete a file, link or folder, if any."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def publish_folder(target: Path, entries: Sequence[str] = (), *, locked: bool = False) -> Iterator[Path]:
    """Yield a temporary folder that becomes `target` afterwards.

    If the block raises, the temporary folder is deleted and `target` is unchanged.

    Args:
        target: the folder to publish.
        entries: files and folders. If given, only these are moved into the existing folder `target`, in this order,
            and each replaces its older version. The temporary folder then lies in `target`, else next to it.
        locked: whether the caller holds the lock of `target`. If so, temporary folders of killed processes are
            deleted, and a `target` that is not empty is replaced.

    Raises:
        OSError: The folder cannot be written, or `target` is not empty and not locked.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "set"
        >>> with publish_folder(target) as folder:
        ...     _ = (folder / "data.yaml").write_text("names: [cat]")
        ...     target.exists()
        False
        >>> [file.name for file in target.iterdir()]
        ['data.yaml']
    """
    parent, prefix = (target, f".{PARTIAL}-") if entries else (target.parent, f".{target.name}.{PARTIAL}-")
    if locked:
        for leftover in parent.glob(f"{prefix}*"):
            shutil.rmtree(leftover)
    folder = parent / f"{prefix}{secrets.token_hex(4)}"
    folder.mkdir()  # `mkdtemp` would let only the owner enter it
    try:
        yield folder
        for name in entries:
            remove(target / name)
            (folder / name).replace(target / name)
        if entries:
            shutil.rmtree(folder)
        else:
            if locked:
                remove(target)
            folder.replace(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextlib.contextmanager
def lock(file: Path, timeout: float | None = None, on_wait: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold the lock `file` during the block.

    The operating system releases the lock when its process dies. The file stays.

    Args:
        file: the lock file; it is created if it does not exist.
        timeout: seconds to wait for another process; None waits without limit.
        on_wait: called once if another process holds the lock and this one has to wait.

    Raises:
        TimeoutError: Another process holds the lock for longer than `timeout`.
    """
    holder = FileLock(file)
    try:
        holder.acquire(timeout=0)
    except Timeout:
        on_wait()
        holder.acquire(timeout=-1 if timeout is None else timeout)
    try:
        yield
    finally:
        holder.release()
