"""`akyolo data check`: every injected fault is named by file and line, and nothing else is."""

import struct
import time
import zlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from akyolo.cli import main
from akyolo.datasets.yolo.check import findings
from akyolo.datasets.yolo.data_yaml import read_data_yaml
from akyolo.errors import DatasetError
from tests.helpers import published_look_alikes as look_alikes
from tests.helpers.voc_look_alikes import fingerprint

GOOD = "0 0.5 0.5 0.25 0.25\n1 0.25 0.5 0.1 1\n"


@pytest.fixture
def root(tmp_path):
    return write_set(tmp_path / "数据 集é")


def write_set(root):
    for split, stems in {"train": "abc", "val": "d"}.items():
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for stem in stems:
            (root / "images" / split / f"{stem}.jpg").write_bytes(look_alikes.jpeg((64, 48)))
            (root / "labels" / split / f"{stem}.txt").write_text("" if stem == "c" else GOOD)
    write_yaml(root)
    return root


def write_yaml(root, more="", names="[数, dog]"):
    text = f"path: {root}\ntrain: images/train\nval: images/val\nnames: {names}\n{more}"
    (root / "data.yaml").write_text(text, encoding="utf-8")
    return root / "data.yaml"


def check(root, capsys, *more):
    """The lines that name faults, and the exit code."""
    code = 0
    try:
        main(["data", "check", str(root / "data.yaml"), *more])
    except SystemExit as stop:
        code = stop.code
    out = capsys.readouterr().out.splitlines()
    return [line.removeprefix(f"{root}/") for line in out if line.startswith(str(root))], code


def test_a_good_set_is_counted(root, capsys):
    before = fingerprint(root)
    main(["data", "check", str(root / "data.yaml")])
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["train", "val"],
        ["images", "3", "1"],
        ["backgrounds", "1", "0"],
        ["boxes", "4", "2"],
        ["数", "2", "1"],
        ["dog", "2", "1"],
    ]
    assert fingerprint(root) == before


ROWS = {
    "2 0.5 0.5 0.2 0.2": "class 2 is not one of 0 to 1",
    "-1 0.5 0.5 0.2 0.2": "class -1 is not one of 0 to 1",
    "0.5 0.5 0.5 0.2 0.2": "class 0.5 is not one",
    "0 -0.1 0.5 0.2 0.2": "number 2, -0.1, is negative",
    "0 0.5 0.5 1.2 0.2": "number 4, 1.2, is above 1",
    "0 0.5 0.5 0.2 1.005": "number 5, 1.005, is above 1",
    "0 0.5 0.5 0.2": "4 numbers: a box has 5",
    "0": "1 numbers: a box has 5",
    "0 0.5 0.5 0.2 0.2 0.9": "6 numbers: a box has 5",
    "0 0.1 0.1 0.2 0.1 0.2 0.2 0.3": "8 numbers: a box has 5, a polygon 7 or more",
    "0 nan 0.5 0.2 0.2": "'0 nan 0.5 0.2 0.2' holds a number that is not finite",
    "inf 0.5 0.5 0.2 0.2": "not finite",
    "cat 0.5 0.5 0.2 0.2": "'cat 0.5 0.5 0.2 0.2' holds something that is not a number",
    "0,0.5,0.5,0.2,0.2": "not a number",
    "0 0.5 0.5 0 0.2": "has no area",
    "0 0.1 0.1 0.2 0.1 0.3 0.1": "has no area",
    "1 0.25 0.5 0.1 1": "the same as row 2",
    "1.0 .25 5e-1 0.100000000001 1": "the same as row 2",
    "0 0.1 0.1 0.2 0.1 0.2 0.3": "a box and a polygon in one file",
}


@pytest.mark.parametrize("row", ROWS)
def test_a_bad_row_is_named_by_file_and_line(root, capsys, row):
    (root / "labels" / "train" / "b.txt").write_text(f"{GOOD}\n{row}\n")
    ((line,), code) = check(root, capsys)
    assert line.startswith("labels/train/b.txt:4: ") and ROWS[row] in line and code == 2


def test_polygons_are_labels_too(root, capsys):
    (root / "labels" / "train" / "b.txt").write_text("0 0.1 0.1 0.2 0.1 0.2 0.3\n")
    assert check(root, capsys) == ([], 0)


def test_poses_are_looked_at_for_their_boxes(root, capsys):
    write_yaml(root, "kpt_shape: [2, 3]\n")
    (root / "labels" / "train" / "b.txt").write_text(
        "0 0.5 0.5 0.2 0.2 0.4 0.4 2 0 0 0\n1 0.5 0.5 0.2 0 0.4 0.4 2 0 0 0\n"
    )
    ((line,), code) = check(root, capsys)
    assert line.startswith("labels/train/b.txt:2: ") and "has no area" in line and code == 2
    for word, reason in (("x", "not a number"), ("nan", "not finite")):
        (root / "labels" / "train" / "b.txt").write_text(f"0 0.5 0.5 0.2 0.2 0.4 {word} 2 0 0 0\n")
        ((line,), _) = check(root, capsys)
        assert line.startswith("labels/train/b.txt:1: ") and reason in line
    write_yaml(root, "kpt_shape: 17\n")
    with pytest.raises(DatasetError, match="kpt_shape is 17"):
        read_data_yaml(root / "data.yaml")


def test_what_windows_and_links_and_roboflow_make_of_a_set(root, capsys, tmp_path):
    for label in (root / "labels").rglob("*.txt"):
        label.write_bytes(b"\xef\xbb\xbf" + label.read_bytes().replace(b"\n", b"\r\n"))
    (root / "images" / "train" / "._a.jpg").write_bytes(b"what macOS leaves")
    (root / "images" / "train" / "more").symlink_to(root / "images" / "val")
    (root / "labels" / "train" / "more").symlink_to(root / "labels" / "val")
    (root / "images" / "val" / "d.jpg").rename(root / "images" / "val" / "d.JPG")
    text = f"path: {root}\r\ntrain: ../images/train\r\nval: ../images/val\r\nnames: {{0: a, 1: b}}\r\ndownload:\r\n"
    (root / "data.yaml").write_text(f"\ufeff{text}", encoding="utf-8")
    assert check(root, capsys) == ([], 0)
    assert len(read_data_yaml(root / "data.yaml").images["train"]) == 4


@settings(max_examples=25, deadline=None)
@given(
    faults=st.lists(
        st.tuples(st.sampled_from("abd"), st.sampled_from(sorted(row for row in ROWS if "the same" not in ROWS[row]))),
        max_size=9,
    )
)
def test_all_that_is_injected_is_found(tmp_path_factory, faults):
    root = write_set(tmp_path_factory.mktemp("set"))
    expected = Counter()
    for stem, row in faults:
        (label,) = root.glob(f"labels/*/{stem}.txt")
        label.write_text(f"{label.read_text()}{row}\n")
        expected[f"{label}:{len(label.read_text().splitlines())}"] += 1
    found = Counter(line.split(": ")[0] for line in findings(read_data_yaml(root / "data.yaml"), {}))
    assert found == expected


def test_images_and_labels_without_each_other(root, capsys):
    (root / "labels" / "train" / "a.txt").unlink()
    (root / "labels" / "val" / "lonely.txt").write_text(GOOD)
    (root / "images" / "val" / "d.png").write_bytes(look_alikes.jpeg((64, 48)))
    lines, code = check(root, capsys)
    assert code == 2 and [line.split(": ")[0] for line in lines] == [
        "images/train/a.jpg",
        "images/val/d.png",
        "labels/val/lonely.txt",
    ]
    assert "shares its label file with" in lines[1]


def huge_png(side):
    """A grey picture of which only the beginning is there; its header says how large it is."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(side))) + chunk(b"IEND", b"")
    )


def test_images_that_no_training_can_read(root, capsys):
    whole = look_alikes.jpeg((64, 48))
    (root / "images" / "train" / "a.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "images" / "train" / "b.jpg").write_bytes(b"no image")
    (root / "images" / "train" / "c.jpg").write_bytes(whole + b"\0\0")  # reads well, and Ultralytics would rewrite it
    (root / "images" / "val" / "d.jpg").unlink()
    (root / "images" / "val" / "d.png").write_bytes(huge_png(20_000))
    before, began = fingerprint(root), time.monotonic()
    lines, code = check(root, capsys)
    assert time.monotonic() - began < 1 and code == 2 and fingerprint(root) == before
    assert [line.split(":")[0] for line in lines] == ["images/train/a.jpg", "images/train/b.jpg", "images/val/d.png"]
    assert "image of 20000x20000 pixels: Ultralytics opens 178956970 at most" in lines[2]


def test_the_sheet_shows_the_labels(root, capsys, tmp_path):
    (root / "images" / "train" / "b.jpg").write_bytes(b"no image")
    (root / "labels" / "train" / "c.txt").write_text(
        "7 0.5 0.5 inf nan\nx\n9 0.5 0.5 0.5 0.5\n0 0.1 0.1 0.9 0.1 0.5 0.9\n"
    )
    check(root, capsys, "--sheet", str(tmp_path / "sheet.png"))
    with Image.open(tmp_path / "sheet.png") as sheet:
        first = sheet.crop((0, 0, 240, 240))
    # box 0 of a.jpg: red, from (0.375, 0.375) to (0.625, 0.625) of a thumbnail with its corner at (2, 2)
    assert first.getpixel((2 + 64 * 3 // 8, 2 + 48 // 2)) != first.getpixel((2 + 32, 2 + 8))
    assert first.getpixel((2 + 64 * 3 // 8, 2 + 48 // 2))[0] > 200
    with pytest.raises(SystemExit):
        main(["data", "check", str(root / "data.yaml"), "--sheet", str(tmp_path / "sheet.png")])
    assert f"--sheet {tmp_path / 'sheet.png'} already exists" in capsys.readouterr().err


PAYLOADS = {
    "download: |\n  open('/tmp/never', 'w')\n": ":5: 'download' is refused",
    "download: https://example.com/a.zip\n": ":5: 'download' is refused",
    "more: !!python/object/apply:os.system ['touch never']\n": ":5: not plain YAML: could not determine a constructor",
    "<<: {download: 'https://example.com/a.zip'}\n": ":5: 'download' is refused",
    "more: [\n": ":6: not plain YAML",
    "names: [a]\n": ":5: not plain YAML: 'names' is there twice",
}


@pytest.mark.parametrize("more", PAYLOADS)
def test_a_yaml_that_runs_something_is_refused_by_line(root, more):
    file = write_yaml(root, more)
    with pytest.raises(DatasetError) as refusal:
        read_data_yaml(file)
    assert f"data.yaml{PAYLOADS[more]}" in str(refusal.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("train: images/train", "train: images/nothing", "train: .*nothing' is neither a folder"),
        ("train: images/train", "trian: images/train", "has no train"),
        ("val: images/val", "val: labels/val", "val holds no images"),
        ("names: [数, dog]", "names: {0: a, 2: b}", "names are not numbered"),
        ("names: [数, dog]", "nc: 0", "has no names"),
        ("names: [数, dog]", "nc: 3\nnames: [a, b]", "nc is 3, but there are 2 names"),
        ("path: ", "path: /nowhere", "path .* is not a folder"),
    ],
)
def test_a_yaml_that_names_what_is_not_there(root, old, new, message):
    file = root / "data.yaml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        read_data_yaml(file)


def test_lists_of_images_and_names_by_number(root):
    (root / "list.txt").write_text("./images/train/a.jpg\n\n./images/train/b.jpg\n")
    text = f"path: {root}\ntrain: [list.txt, images/val]\nvalidation: images/val\nnames: {{1: b, 0: a}}\n"
    (root / "data.yaml").write_text(text, encoding="utf-8")
    data = read_data_yaml(root / "data.yaml")
    assert [image.name for image in data.images["train"]] == ["a.jpg", "b.jpg", "d.jpg"] and data.names == ("a", "b")
