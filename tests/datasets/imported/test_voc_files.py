"""Which files of a Pascal VOC tree are read, and which are named as unusable."""

import struct
import zlib

import pytest
from PIL import Image

from akyolo.datasets.formats.annotations import UnusableError
from akyolo.datasets.formats.voc_xml import parse_annotation
from akyolo.datasets.imported.voc import import_voc
from akyolo.errors import DatasetError
from tests.helpers.voc_look_alikes import Voc, akyolo_data, an_object, annotation, label, only_rejection, report

EXIF_ORIENTATION = 0x0112


@pytest.fixture
def voc(tmp_path):
    """Two plain images, so that a third one can go wrong and a data set remains."""
    return Voc(tmp_path / "source").add("a").add("b")


@pytest.mark.parametrize("above", ["", "BCCD", "VOCdevkit/VOC2007"])
def test_a_tree_is_found_in_the_folder_or_below(tmp_path, above):
    Voc(tmp_path / "source" / above).add("a").add("b")
    found = import_voc(tmp_path / "source").content.splits
    assert {split: len(pictures) for split, pictures in found.items()} == {"train": 1, "val": 1}


def test_a_flat_folder_pairs_by_stem_whatever_the_suffix(tmp_path):
    voc = Voc(tmp_path / "source", flat=True)
    for stem, suffix in {"a": ".PNG", "b.v1": ".jpeg", "c": ".Bmp", "d": ".tif", "e": ".webp"}.items():
        voc.add(stem, suffix=suffix)
    (voc.root / "classes.txt").write_text("cat\n")
    found = import_voc(voc.root).content
    assert sum(map(len, found.splits.values())) == 5
    assert not found.rejected


def test_two_trees_below_are_an_error_that_names_them(tmp_path):
    Voc(tmp_path / "VOC2007").add("a")
    Voc(tmp_path / "VOC2012").add("b")
    with pytest.raises(DatasetError, match="VOC2007, VOC2012"):
        import_voc(tmp_path)


@pytest.mark.parametrize("make", ["missing", "empty", "file"])
def test_a_folder_without_voc_data_is_an_error(tmp_path, make):
    folder = tmp_path / "source"
    if make == "empty":
        folder.mkdir()
    if make == "file":
        folder.write_text("")
    with pytest.raises(DatasetError, match=r"source: no (such folder|VOC annotations)"):
        import_voc(folder)


def test_an_image_without_annotation_is_rejected(voc):
    voc.image("c.jpg")
    one = only_rejection(voc)
    assert (one.file, one.object) == ("JPEGImages/c.jpg", "")
    assert "no annotation file" in one.reason


def test_an_annotation_without_image_is_rejected(voc):
    voc.xml("c", annotation(an_object()))
    one = only_rejection(voc)
    assert (one.file, one.object, one.reason) == ("Annotations/c.xml", "", "no image with this stem")


def test_two_images_of_one_stem_are_both_rejected_with_their_annotation(voc):
    voc.add("c", suffix=".jpg").add("c", suffix=".png")
    rejected = import_voc(voc.root).content.rejected
    assert [one.file for one in rejected] == ["JPEGImages/c.jpg", "JPEGImages/c.png", "Annotations/c.xml"]
    assert all("c.jpg, c.png, c.xml share one stem" in one.reason for one in rejected)


def test_an_annotation_without_objects_makes_a_background_image(tmp_path):
    voc = Voc(tmp_path / "in").add("a").add("b").xml("b", annotation())
    akyolo_data(voc.root, "--out", tmp_path / "out")
    assert label(tmp_path / "out", "b") == []
    assert report(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot be parsed"),
        (annotation(an_object())[:-20], "cannot be parsed"),
        ("<annotation>\udcff</annotation>", "cannot be parsed"),
        ("<?xml version='1.0' encoding='klingon'?><annotation/>", "cannot be parsed"),
        ("<?xml version='1.0' encoding='gb2312'?><annotation/>", "cannot be parsed"),
        ("<html/>", "root element is <html>"),
        ("<!DOCTYPE annotation SYSTEM 'file:///etc/passwd'><annotation/>", "DOCTYPE"),
    ],
)
def test_an_annotation_that_cannot_be_read_is_rejected_with_its_image(voc, text, reason):
    voc.image("c.jpg")
    (voc.annotations / "c.xml").write_bytes(text.encode("utf-8", "surrogateescape"))
    one = only_rejection(voc)
    assert (one.file, one.object) == ("Annotations/c.xml", "")
    assert reason in one.reason


def test_an_entity_bomb_is_refused_before_it_grows():
    levels = "".join(f"<!ENTITY l{i + 1} '{f'&l{i};' * 10}'>" for i in range(12))
    bomb = (
        f"<!DOCTYPE annotation [<!ENTITY l0 'x'>{levels}]><annotation><object><name>&l12;</name></object></annotation>"
    )
    with pytest.raises(UnusableError, match="DOCTYPE"):
        parse_annotation(bomb.encode())


def test_a_truncated_jpeg_is_rejected(voc):
    voc.add("c", size=(400, 300))
    image = voc.images / "c.jpg"
    image.write_bytes(image.read_bytes()[:-200])
    assert "cannot be read: image file is truncated" in only_rejection(voc).reason


def test_a_jpeg_with_bytes_after_its_end_is_kept(voc):
    voc.add("c")
    with (voc.images / "c.jpg").open("ab") as stream:
        stream.write(b"\0\0")
    assert not import_voc(voc.root).content.rejected


@pytest.mark.parametrize("content", [b"", b"\xff", b"no image at all", b"GIF89a" + bytes(40)])
def test_something_that_is_no_image_is_rejected(voc, content):
    voc.add("c")
    (voc.images / "c.jpg").write_bytes(content)
    one = only_rejection(voc)
    assert (one.file, one.reason) == ("Annotations/c.xml", "not an image of a format that Ultralytics reads")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".bmp"])
@pytest.mark.parametrize("kept", [3, 20, 0.5])
def test_an_image_that_breaks_off_is_rejected_without_a_call_for_pip(voc, suffix, kept, monkeypatch):
    from ultralytics.utils import checks

    voc.add("c", suffix=suffix, size=(400, 300))
    image = voc.images / f"c{suffix}"
    content = image.read_bytes()
    image.write_bytes(content[: kept if kept >= 1 else int(len(content) * kept)])
    monkeypatch.setattr(checks, "check_requirements", lambda *_: pytest.fail("would install a package"))
    assert only_rejection(voc).file == "Annotations/c.xml"


def test_heic_without_its_package_says_which(voc):
    voc.xml("c", annotation(an_object()))
    (voc.images / "c.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    assert "install pi-heif" in only_rejection(voc).reason


@pytest.mark.parametrize("size", [(9, 80), (100, 9)])
def test_an_image_that_ultralytics_would_drop_is_rejected(voc, size):
    assert f"{size[0]}x{size[1]}" in only_rejection(voc.add("c", size=size)).reason


def test_a_huge_image_is_refused_by_its_header(voc):
    voc.add("c", suffix=".png")
    image = voc.images / "c.png"
    content = bytearray(image.read_bytes())
    content[16:24] = struct.pack(">II", 20000, 20000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    image.write_bytes(content)
    assert "20000x20000 pixels" in only_rejection(voc).reason


def test_the_size_of_the_image_counts_not_the_claimed_one(tmp_path, capsys):
    voc = Voc(tmp_path / "in").add("a", claims=(640, 640)).add("b", claims=None).add("c", claims=(0, 0))
    akyolo_data(voc.root, "--out", tmp_path / "out")
    assert all(label(tmp_path / "out", stem) == [[0, 0.20, 0.50, 0.20, 0.50]] for stem in "abc")
    assert "<size> in 1 annotations differs from the image (first: Annotations/a.xml)" in capsys.readouterr().out


def test_paper_labels_need_the_claimed_size(voc):
    assert "no usable <size>" in only_rejection(voc.add("c", claims=(0, 80)), boxes="paper").reason


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_size_is_the_one_that_ultralytics_sees(tmp_path, suffix, orientation):
    from ultralytics.data.utils import check_image

    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    voc = Voc(tmp_path / "in")
    for stem in "ab":
        voc.add(stem, suffix=suffix, size=(100, 80), exif=exif)
    picture = import_voc(voc.root).content.splits["train"][0]
    _, (height, width) = check_image(str(picture.image))
    assert picture.size == (width, height)
    if suffix == ".jpg":
        assert picture.size == ((80, 100) if orientation > 4 else (100, 80))
