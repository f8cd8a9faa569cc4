"""The written layout: what Ultralytics makes of it, and that it comes into being at once or not at all."""

import stat

import pytest
import yaml
from PIL import Image

from akyolo.datasets.formats.annotations import Box, LabelledImage, Rejection
from akyolo.datasets.yolo.layout import YoloSet, write_yolo
from akyolo.errors import DatasetError


@pytest.fixture
def content(tmp_path):
    """Two images; the class names are ones that YAML would take for something else if they were not quoted."""
    images = []
    for stem in ("eins", "zwei"):
        image = tmp_path / "from" / f"{stem}.JPG"
        image.parent.mkdir(exist_ok=True)
        Image.new("RGB", (100, 80), "grey").save(image)
        images.append(LabelledImage(image, (100, 80), (Box("no", (0.5, 0.5, 0.25, 1 / 3)),)))
    rejected = (Rejection("a.xml", "too, odd", "1 cät", "1 2 3 4"), Rejection("b\udcff.jpg", "broken"))
    return YoloSet({"train": images[:1], "val": images[1:]}, ("0: {x", "no", "ü"), rejected)


def test_ultralytics_loads_it(content, tmp_path):
    from ultralytics.data.utils import check_det_dataset

    write_yolo(content, tmp_path / "out")
    data = check_det_dataset(tmp_path / "out" / "data.yaml", autodownload=False)
    assert data["names"] == {0: "0: {x", 1: "no", 2: "ü"}
    assert (data["train"], data["val"]) == (
        str(tmp_path / "out" / "images" / "train"),
        str(tmp_path / "out" / "images" / "val"),
    )


@pytest.mark.parametrize("copy", [False, True])
def test_ultralytics_finds_the_labels_and_never_alters_the_source(content, tmp_path, copy):
    from ultralytics.data.utils import img2label_paths, verify_image_label

    source = content.splits["train"][0].image
    with source.open("ab") as stream:
        stream.write(b"\0\0")  # for which Ultralytics writes a JPEG anew
    before = source.read_bytes()
    write_yolo(content, tmp_path / "out", copy=copy)
    image = str(tmp_path / "out" / "images" / "train" / "eins.JPG")
    _, labels, shape, *_ = verify_image_label((image, img2label_paths([image])[0], "", False, 3, 0, 0, False))
    assert shape == (80, 100)
    assert labels.tolist() == [[1, 0.5, 0.5, 0.25, pytest.approx(1 / 3)]]
    assert source.read_bytes() == before


def test_the_yaml_says_where_and_what_and_runs_nothing(content, tmp_path):
    write_yolo(content, tmp_path / "out")
    data = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text(encoding="utf-8"))
    assert list(data) == ["path", "train", "val", "names"]
    assert data["path"] == str(tmp_path / "out")


def test_the_report_is_a_table(content, tmp_path):
    write_yolo(content, tmp_path / "out")
    assert (tmp_path / "out" / "rejected.csv").read_text(encoding="utf-8").splitlines() == [
        "file,object,raw_box,reason",
        'a.xml,1 cät,1 2 3 4,"too, odd"',
        "b\\udcff.jpg,,,broken",
    ]


def test_the_labels_hold_every_digit(content, tmp_path):
    write_yolo(content, tmp_path / "out")
    assert (tmp_path / "out" / "labels" / "val" / "zwei.txt").read_text() == f"1 0.5 0.5 0.25 {1 / 3}\n"


def test_copies_are_files_that_can_be_written(content, tmp_path):
    content.splits["train"][0].image.chmod(0o444)
    write_yolo(content, tmp_path / "out", copy=True)
    image = tmp_path / "out" / "images" / "train" / "eins.JPG"
    assert not image.is_symlink()
    assert image.stat().st_mode & stat.S_IWUSR


def test_the_folder_has_the_usual_permissions_and_may_have_been_there_empty(content, tmp_path):
    (tmp_path / "usual").mkdir()
    (tmp_path / "out").mkdir(mode=0o700)
    write_yolo(content, tmp_path / "out")
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_failure_half_way_leaves_nothing(content, tmp_path):
    content.splits["val"][0].image.unlink()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DatasetError, match="out: cannot be written: No such file"):
        write_yolo(content, tmp_path / "out", copy=True)
    assert sorted(tmp_path.iterdir()) == before
