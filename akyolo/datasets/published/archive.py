"""Unpack untrusted zip and tar files.

The whole archive is refused, before anything is written, if one member would leave the folder or is not a plain file or
folder, or if all members together are larger than an archive of data for training can be. The bytes that are really
written are counted too, since a header may be wrong.
"""

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from akyolo.datasets.published.progress import Progress
from akyolo.errors import DatasetError

GROWTH = 4  # an archive of photographs and annotations may unpack to this many times its size
CHUNK = 1 << 20
BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError,
    EOFError, NotImplementedError, OSError, RuntimeError, ValueError,
)  # fmt: skip


class BrokenArchiveError(DatasetError):
    """An incomplete or altered archive."""


@dataclass(frozen=True)
class Member:
    """One member of an archive.

    Attributes:
        name: its name as written.
        size: its size in bytes as the header says.
        is_folder: whether it is a folder.
        open: returns its content as a stream.
        fault: why it must not be unpacked; empty if it may be.
    """

    name: str
    size: int
    is_folder: bool
    open: Callable[[], IO[bytes]]
    fault: str = ""


def unpack(archive: Path, into: Path) -> None:
    """Unpack an archive into an existing folder.

    Raises:
        BrokenArchiveError: The archive is not complete. What was written before stays in `into`.
        DatasetError: The archive is hostile, or larger than the free space.
    """
    limit = GROWTH * archive.stat().st_size
    try:
        with _members(archive) as members:
            checked = _check(members, limit, archive)
            claimed = sum(member.size for member in checked)
            check_space(into, claimed, f"to unpack {archive.name}")
            progress = Progress(f"unpacking {archive.name}:", claimed, 10**6, "MB")
            for member in checked:
                limit -= _write(member, into, limit, progress)
    except BROKEN as error:
        if getattr(error, "errno", None):  # an error of the file system; the errors of bz2 have no number
            raise
        raise BrokenArchiveError(
            f"is not a complete archive: {error}", location=str(archive), remedy="Get it again."
        ) from error


def check_space(folder: Path, needed: int, purpose: str) -> None:
    """Check that a file system has enough space.

    Args:
        folder: a folder of the file system.
        needed: bytes.
        purpose: what they are needed for.

    Raises:
        DatasetError: Fewer than `needed` bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DatasetError(f"{needed:,} bytes are needed {purpose}, {free:,} are free", location=str(folder))


def _check(members: Iterator[Member], limit: int, archive: Path) -> list[Member]:
    """Return the members after checking all of them."""
    checked: list[Member] = []
    names: set[PurePosixPath] = set()
    claimed = 0
    for member in members:
        fault = member.fault or _fault_of(member.name)
        path = PurePosixPath(member.name)
        if not fault and path in names and not member.is_folder:
            fault = "is there twice"
        names.add(path)
        claimed += member.size
        if not fault and claimed > limit:
            fault = f"and those before it claim {claimed:,} bytes, more than {GROWTH} times the archive's own size"
        if fault:
            remedy = "No data set needs that; nothing was unpacked."
            raise DatasetError(f"hostile archive: {member.name[:200]!r} {fault}", location=str(archive), remedy=remedy)
        checked.append(member)
    return checked


def _fault_of(name: str) -> str:
    """Return the fault of a name, or ""."""
    path = PurePosixPath(name)
    if path.is_absolute() or "\\" in name or "\0" in name or name[1:2] == ":":
        return "is an absolute path, or one of another system"
    if ".." in path.parts:
        return "leads out of the folder"
    return ""


def _write(member: Member, into: Path, limit: int, progress: Progress) -> int:
    """Write one member, at most `limit` bytes."""
    target = into / PurePosixPath(member.name)
    if member.is_folder:
        target.mkdir(parents=True, exist_ok=True)
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with member.open() as source, target.open("wb") as stream:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > min(limit, member.size):
                raise ValueError(f"{member.name!r} holds more bytes than it claims")
            stream.write(chunk)
            progress.add(len(chunk))
    if written != member.size:
        raise ValueError(f"{member.name!r} holds {written:,} bytes, but claims {member.size:,}")
    return written


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[Member]]:
    """Open an archive and iterate over its members."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            yield (_of_zip(opened, info) for info in opened.infolist())
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as opened_tar:
            yield (_of_tar(opened_tar, info) for info in opened_tar)
    else:
        raise BrokenArchiveError("is neither a zip nor a tar file", location=str(archive), remedy="Get it again.")


def _of_zip(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    """Return a member of a zip file."""
    file_type = stat.S_IFMT(info.external_attr >> 16)  # 0 if the archive was made without Unix modes
    plain = file_type in {0, stat.S_IFREG} or (file_type == stat.S_IFDIR and info.is_dir())
    fault = "" if plain else "is a link or a device"
    if info.flag_bits & 1:
        fault = "is encrypted"
    # `zipfile` cuts a name at a NUL; `orig_filename` has all of it.
    return Member(info.orig_filename, info.file_size, info.is_dir(), lambda: opened.open(info), fault)


def _of_tar(opened: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    """Return a member of a tar file."""
    plain = (info.isfile() and info.sparse is None) or info.isdir()
    fault = "" if plain else "is a link or a device"

    def open_member() -> IO[bytes]:
        stream = opened.extractfile(info)
        assert stream is not None, "checked to be a file"
        return stream

    return Member(info.name, info.size if info.isfile() else 0, info.isdir(), open_member, fault)
