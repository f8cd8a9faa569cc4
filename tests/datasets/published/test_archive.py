"""Archives that would do harm: none of them writes a byte outside, or more than it may."""

import contextlib
import io
import os
import random
import stat
import struct
import tarfile
import zipfile
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from akyolo.datasets.published import archive as archives
from akyolo.datasets.published.archive import unpack
from akyolo.errors import DatasetError
from tests.helpers.published_look_alikes import write_tar, write_zip


@pytest.fixture
def into(tmp_path):
    (tmp_path / "into").mkdir()
    return tmp_path / "into"


def everything(folder):
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


HONEST = {"VOCdevkit/a.txt": b"first", "VOCdevkit/deep/ü 数.txt": b"second"}


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_an_honest_archive_comes_out_as_it_went_in(tmp_path, into, name):
    (write_zip if name.endswith("zip") else write_tar)(tmp_path / name, HONEST)
    unpack(tmp_path / name, into)
    assert everything(into) == HONEST


def test_two_archives_may_share_a_tree(tmp_path, into):
    for number in (1, 2):
        write_tar(tmp_path / f"{number}.tar", {f"kit/{number}.txt": b"x"})
        unpack(tmp_path / f"{number}.tar", into)
    assert everything(into) == {"kit/1.txt": b"x", "kit/2.txt": b"x"}


OUTSIDE = ["../escaped", "kit/../../escaped", "/tmp/escaped", "C:\\escaped", "..\\escaped", "c:escaped", "a/..", "x\0y"]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_name_that_leads_outside_refuses_the_whole_archive(tmp_path, into, name, kind):
    if kind == "tar" and "\0" in name:
        pytest.skip("a tar header ends a name there")
    file = tmp_path / f"a.{kind}"
    (write_zip if kind == "zip" else write_tar)(file, {"before.txt": b"x", name.replace("\0", "N"): b"x"})
    if "\0" in name:
        file.write_bytes(file.read_bytes().replace(b"xNy", name.encode()))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DatasetError, match="hostile archive"):
        unpack(file, into)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, b"S"])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, into, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("kit/link")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(DatasetError, match=r"hostile archive.*link or a device|not a complete archive"):
        unpack(tmp_path / "a.tar", into)
    assert not list(into.iterdir())


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFDIR])
def test_links_and_devices_in_a_zip_are_refused(tmp_path, into, mode):
    info = zipfile.ZipInfo("kit/link")
    info.external_attr = (mode | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DatasetError, match=r"hostile archive.*link or a device"):
        unpack(tmp_path / "a.zip", into)
    assert not list(into.iterdir())


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(tmp_path, into):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("kit/a", "one")
        archive.writestr("kit/a", "two")
    with pytest.raises(DatasetError, match="is there twice"):
        unpack(tmp_path / "a.zip", into)


def test_a_bomb_is_refused_by_what_it_claims(tmp_path, into):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10_000_000))
    with pytest.raises(DatasetError, match=r"'zeros' .* claim 10,000,000 bytes, more than 4 times"):
        unpack(tmp_path / "a.zip", into)
    assert not list(into.iterdir())


def test_a_bomb_that_lies_stops_before_it_has_written_more_than_it_claims(tmp_path, into):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10_000_000))
    content = bytearray((tmp_path / "a.zip").read_bytes())
    central = content.rindex(b"PK\x01\x02")
    content[central + 24 : central + 28] = struct.pack("<I", 100)  # the uncompressed size, in the header that is read
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.zip: is not a complete archive"):
        unpack(tmp_path / "a.zip", into)
    assert sum(len(one) for one in everything(into).values()) <= 100


@pytest.mark.parametrize("really", [4, 6])
def test_a_member_that_holds_something_else_than_it_claims(tmp_path, into, monkeypatch, really):
    """Whatever the libraries would let through."""
    write_zip(tmp_path / "a.zip", HONEST)
    lying = archives.Member("a", 5, False, lambda: io.BytesIO(bytes(really)))
    monkeypatch.setattr(archives, "_of_zip", lambda *_: replace(lying, name=f"{next(numbers)}"))
    numbers = iter(range(9))
    with pytest.raises(DatasetError, match="claims"):
        unpack(tmp_path / "a.zip", into)
    assert sum(len(one) for one in everything(into).values()) <= 5


def test_a_compressed_tar_is_read_no_further_than_its_limit(tmp_path, into):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for number in range(50):
            info = tarfile.TarInfo(f"{number}")
            info.size = 1_000_000
            archive.addfile(info, io.BytesIO(bytes(1_000_000)))
    with pytest.raises(DatasetError, match="claim 1,000,000 bytes"):
        unpack(tmp_path / "a.tar.gz", into)
    assert not list(into.iterdir())


def test_too_little_space_is_found_before_anything_is_written(tmp_path, into, monkeypatch):
    write_zip(tmp_path / "a.zip", {"a": b"12345678"})
    monkeypatch.setattr(
        archives.shutil, "disk_usage", lambda _: os.terminal_size((1, 1)) and type("U", (), {"free": 7})
    )
    with pytest.raises(DatasetError, match=r"8 bytes are needed to unpack a\.zip, 7 are free"):
        unpack(tmp_path / "a.zip", into)
    assert not list(into.iterdir())


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04" + bytes(50)])
def test_what_is_no_archive_is_named(tmp_path, into, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.zip: is n"):
        unpack(tmp_path / "a.zip", into)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("at", [45, 1000])
def test_damage_is_said_in_one_way_whatever_the_compression(tmp_path, into, method, at):
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("a", random.Random(0).randbytes(5000))
    content = bytearray(file.read_bytes())
    content[at] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.zip: is not a complete archive"):
        unpack(file, into)


def test_a_damaged_tar_xz_too(tmp_path, into):
    file, noise = tmp_path / "a.tar.xz", random.Random(0).randbytes(100_000)
    with tarfile.open(file, "w:xz") as archive:
        info = tarfile.TarInfo("a")
        info.size = len(noise)
        archive.addfile(info, io.BytesIO(noise))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.tar\.xz: is not a complete archive"):
        unpack(file, into)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["zip", "tar"]))
def test_a_broken_archive_gives_an_error_of_ours_and_nothing_outside(tmp_path_factory, data, kind):
    folder = tmp_path_factory.mktemp("broken")
    file, into = folder / f"a.{kind}", folder / "into"
    into.mkdir()
    noise = random.Random(0).randbytes(600)
    (write_zip if kind == "zip" else write_tar)(file, {"kit/a.bin": noise, "kit/b.txt": b"text"})
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(DatasetError):
        unpack(file, into)
    assert {one.name for one in folder.iterdir()} == {file.name, "into"}
    assert sum(len(one) for one in everything(into).values()) <= 4 * file.stat().st_size
