"""Download archives from their mirrors.

A download is resumed where it stopped, even in an earlier run, and verified at the end.
"""

import errno
import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from akyolo.datasets.published.archive import CHUNK, check_space
from akyolo.datasets.published.progress import Progress
from akyolo.datasets.published.spec import Archive
from akyolo.errors import DatasetError, first_line
from akyolo.files import replace

ROUNDS = 3
PAUSE = 2.0  # seconds before the mirrors are tried again
ALTERED = "It is incomplete or was altered; get it again."
TIMEOUT = 30.0  # seconds without a byte from the mirror
BROKEN = (OSError, http.client.HTTPException, ValueError)  # ValueError: an invalid address or header


class MirrorError(Exception):
    """A fault of one mirror."""


def fetch(archive: Archive, folder: Path) -> Path:
    """Return the verified archive; download it if necessary.

    A file `.part` next to it holds what arrived before an interruption.

    Raises:
        DatasetError: No mirror has it, or the mirrors send something else.
    """
    target, part = folder / archive.file, folder / f"{archive.file}.part"
    if target.exists():
        verify(archive, target)
        return target
    faults: list[str] = []
    for attempt in range(ROUNDS):
        for url in archive.urls:
            if fault := _try(archive, url, part):
                faults.append(f"{url}: {fault}")
            else:
                replace(part, target)
                return target
        if attempt < ROUNDS - 1 and archive.urls:
            time.sleep(PAUSE)
    kept = f" {part.stat().st_size:,} bytes are kept; the same command goes on from there." if part.exists() else ""
    raise DatasetError(
        f"cannot be downloaded: {'; '.join(dict.fromkeys(faults)) or 'the spec names no mirror'}",
        location=archive.file,
        remedy=f"Get it in another way and name its folder with --from.{kept}",
    )


def _try(archive: Archive, url: str, part: Path) -> str:
    """Complete `part`; return the mirror's fault, or ""."""
    try:
        _receive(archive, url, part)
    except (MirrorError, *BROKEN) as error:
        if getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT}:
            raise
        return first_line(error)
    try:
        verify(archive, part)
    except DatasetError as error:  # It is complete, but wrong: the next mirror cannot go on with it.
        part.unlink()
        return error.what
    return ""


def verify(archive: Archive, file: Path) -> None:
    """Check size and MD5 sum of a file.

    Raises:
        DatasetError: They differ.
    """
    size = file.stat().st_size
    if archive.bytes is not None and size != archive.bytes:
        raise DatasetError(f"has {size:,} bytes, {archive.bytes:,} are expected", location=str(file), remedy=ALTERED)
    if archive.md5 is not None and (md5 := md5_of(file)) != archive.md5:
        raise DatasetError(f"has MD5 {md5}, {archive.md5} is expected", location=str(file), remedy=ALTERED)


def md5_of(file: Path) -> str:
    """Return the MD5 sum of a file.

    It detects damaged files, not forged ones.
    """
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _receive(archive: Archive, url: str, part: Path) -> None:
    """Append the missing bytes to `part`."""
    have = part.stat().st_size if part.exists() else 0
    if have and have == archive.bytes:
        return
    if archive.bytes is not None and have > archive.bytes:
        part.unlink()
        have = 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            have, total = _begin(response, have)
            if archive.bytes is not None and total not in {None, archive.bytes}:
                raise MirrorError(f"offers {total:,} bytes, {archive.bytes:,} are expected")
            _write(response, part, have, archive.bytes or total)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and archive.bytes is None:
            return  # Nothing is left to send. The sums or the unpacking show whether it is right.
        raise


def _begin(response: http.client.HTTPResponse, have: int) -> tuple[int, int | None]:
    """Return first position and file size.

    The size is None if the mirror does not state it.
    """
    length = response.headers.get("Content-Length")
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0, int(length) if length and length.isdigit() else None
    first, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    if first.partition("-")[0] != str(have):
        raise MirrorError(f"was asked for what follows byte {have:,}, sends {first!r}")
    return have, int(total) if total.isdigit() else None


def _write(response: http.client.HTTPResponse, part: Path, have: int, total: int | None) -> None:
    """Write the response to `part` from byte `have`."""
    check_space(part.parent, (total or have) - have, f"to download {part.stem}")
    progress = Progress(f"downloading {part.stem}:", total or 0, 10**6, "MB")
    progress.add(have)
    with part.open("r+b" if part.exists() else "wb") as stream:
        stream.seek(have)
        stream.truncate()
        for chunk in _chunks(response):
            have += len(chunk)
            if total is not None and have > total:
                raise MirrorError(f"sends more than {total:,} bytes")
            stream.write(chunk)
            progress.add(len(chunk))
    if total is not None and have < total:
        raise MirrorError(f"the connection ended at {have:,} of {total:,} bytes")


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the response in parts."""
    while chunk := response.read1(CHUNK):
        yield chunk
