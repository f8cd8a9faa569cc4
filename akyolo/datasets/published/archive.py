"""Zip and tar files from somebody else, unpacked without harm.

The whole archive is refused, before anything is written, when one member would leave the folder, is no plain file or
folder, or when all of them together are larger than an honest archive of that size can hold. While writing, what
really comes out is counted too, since a header may lie.
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

GROWTH = 4  # times its own size an archive of photographs and their annotations may unpack to
CHUNK = 1 << 20
BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError,
    EOFError, NotImplementedError, OSError, RuntimeError, ValueError,
)  # fmt: skip


class BrokenArchiveError(DatasetError):
    """It is incomplete or was altered, or was never an archive."""


@dataclass(frozen=True)
class Member:
    """One entry: its name as written, the bytes it claims, how to open it; `fault`: why it must not be unpacked."""

    name: str
    size: int
    is_folder: bool
    open: Callable[[], IO[bytes]]
    fault: str = ""


def unpack(archive: Path, into: Path) -> None:
    """Unpack a zip or tar file into a folder that is there.

    Raises:
        BrokenArchiveError: it is no whole archive; what was written before stays in `into`.
        DatasetError: it is hostile, or larger than the free space.
    """
    limit = GROWTH * archive.stat().st_size
    try:
        with _members(archive) as members:
            checked = _check(members, limit, archive)
            claimed = sum(one.size for one in checked)
            check_space(into, claimed, f"to unpack {archive.name}")
            progress = Progress(f"unpacking {archive.name}:", claimed, 10**6, "MB")
            for one in checked:
                limit -= _write(one, into, limit, progress)
    except BROKEN as error:
        if getattr(error, "errno", None):  # of the file system; bz2 says without a number what it cannot read
            raise
        raise BrokenArchiveError(
            f"is no whole archive: {error}", location=str(archive), remedy="Get it again."
        ) from error


def check_space(folder: Path, needed: int, purpose: str) -> None:
    """Refuse to begin what cannot be finished.

    Raises:
        DatasetError: fewer than `needed` bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DatasetError(f"{needed:,} bytes are needed {purpose}, {free:,} are free", location=str(folder))


def _check(members: Iterator[Member], limit: int, archive: Path) -> list[Member]:
    checked: list[Member] = []
    names: set[PurePosixPath] = set()
    claimed = 0
    for one in members:
        fault = one.fault or _fault_of(one.name)
        path = PurePosixPath(one.name)
        if not fault and path in names and not one.is_folder:
            fault = "is there twice"
        names.add(path)
        claimed += one.size
        if not fault and claimed > limit:
            fault = f"and those before it claim {claimed:,} bytes, more than {GROWTH} times the archive's own size"
        if fault:
            remedy = "No data set needs that; nothing was unpacked."
            raise DatasetError(f"hostile archive: {one.name[:200]!r} {fault}", location=str(archive), remedy=remedy)
        checked.append(one)
    return checked


def _fault_of(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or "\\" in name or "\0" in name or name[1:2] == ":":
        return "is an absolute path, or one of another system"
    if ".." in path.parts:
        return "leads out of the folder"
    return ""


def _write(one: Member, into: Path, limit: int, progress: Progress) -> int:
    """Write one member and return its bytes, never more than `limit`."""
    target = into / PurePosixPath(one.name)
    if one.is_folder:
        target.mkdir(parents=True, exist_ok=True)
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with one.open() as source, target.open("wb") as stream:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > min(limit, one.size):
                raise ValueError(f"{one.name!r} holds more bytes than it claims")
            stream.write(chunk)
            progress.add(len(chunk))
    if written != one.size:
        raise ValueError(f"{one.name!r} holds {written:,} bytes, but claims {one.size:,}")
    return written


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[Member]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            yield (_of_zip(opened, info) for info in opened.infolist())
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as opened_tar:
            yield (_of_tar(opened_tar, info) for info in opened_tar)
    else:
        raise BrokenArchiveError("is neither a zip nor a tar file", location=str(archive), remedy="Get it again.")


def _of_zip(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive was made without Unix modes
    plain = kind in {0, stat.S_IFREG} or (kind == stat.S_IFDIR and info.is_dir())
    fault = "" if plain else "is a link or a device"
    if info.flag_bits & 1:
        fault = "is encrypted"
    # orig_filename: zipfile cuts a name at a NUL, and what is behind it must be seen
    return Member(info.orig_filename, info.file_size, info.is_dir(), lambda: opened.open(info), fault)


def _of_tar(opened: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    plain = (info.isfile() and info.sparse is None) or info.isdir()
    fault = "" if plain else "is a link or a device"

    def open_member() -> IO[bytes]:
        stream = opened.extractfile(info)
        assert stream is not None, "checked to be a file"
        return stream

    return Member(info.name, info.size if info.isfile() else 0, info.isdir(), open_member, fault)
