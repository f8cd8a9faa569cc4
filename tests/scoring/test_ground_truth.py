"""Ground truth from YOLO label files and from a COCO json."""

import hashlib
import json

import numpy as np
import pytest

from akyolo.errors import DatasetError
from akyolo.scoring.ground_truth import from_coco_json, from_labels

NAMES = ("ant", "bee", "cat")
SIZES = np.array([(200, 120), (60, 90)])


def labels(folder, *texts):
    files = []
    for index, text in enumerate(texts):
        files.append(folder / f"{index}.txt")
        if text is not None:
            files[-1].write_text(text, encoding="utf-8")
    return files


def test_labels(tmp_path):
    files = labels(tmp_path, "2 0.5 0.25 0.1 0.5\n\n0 0.1 0.2 0.1 0.2\n", "1 0.5 0.5 1 1")
    ground_truth = from_labels(("a.png", "b.png"), SIZES, files, NAMES)
    expected = [(90, 0, 110, 60), (10, 12, 30, 36), (0, 0, 60, 90)]
    assert ground_truth.xyxy_px == pytest.approx(np.array(expected), abs=1e-4)
    assert ground_truth.classes.tolist() == [2, 0, 1] and ground_truth.image.tolist() == [0, 0, 1]
    assert ground_truth.area == pytest.approx([1200, 480, 5400], abs=1e-2)
    assert not ground_truth.crowd.any() and not ground_truth.ignored.any() and len(ground_truth.region_image) == 0
    assert ground_truth.sha256 == hashlib.sha256(files[0].read_bytes() + files[1].read_bytes()).hexdigest()


def test_an_image_without_labels_has_no_objects(tmp_path):
    ground_truth = from_labels(("a.png", "b.png"), SIZES, labels(tmp_path, None, ""), NAMES)
    assert ground_truth.xyxy_px.shape == (0, 4) and len(ground_truth.images) == 2


def test_a_polygon_stands_for_its_box(tmp_path):
    ground_truth = from_labels(("a.png",), SIZES[:1], labels(tmp_path, "1 0.1 0.2 0.3 0.25 0.2 0.75"), NAMES)
    assert ground_truth.xyxy_px == pytest.approx(np.array([(20, 24, 60, 90)]), abs=1e-4)


@pytest.mark.parametrize(
    "row", ["3 .5 .5 .1 .1", "-1 .5 .5 .1 .1", "0.5 .5 .5 .1 .1", "x .5 .5 .1 .1", "0 .5 .5 .1", "0 .5 .5 .1 nan", "0"]
)
def test_a_wrong_row_is_named(tmp_path, row):
    with pytest.raises(DatasetError, match=r"0\.txt:3: is not a label row"):
        from_labels(("a.png",), SIZES[:1], labels(tmp_path, f"0 .5 .5 .1 .1\n\n{row}\n"), NAMES)


def coco(**changes):
    return {
        "images": [
            {"id": 7, "file_name": "b.jpg", "width": 60, "height": 90},
            {"id": 3, "file_name": "sub/a.jpg", "width": 200, "height": 120},
        ],
        "categories": [{"id": 5, "name": "bee"}, {"id": 2, "name": "ant"}],
        "annotations": [
            {"image_id": 3, "category_id": 5, "bbox": [10, 20, 30, 40], "area": 600.5, "iscrowd": 0},
            {"image_id": 7, "category_id": 2, "bbox": [1, 2, 3, 4], "iscrowd": 1, "area": 9},
            {"image_id": 3, "category_id": 2, "bbox": [5, 6, 7, 8], "iscrowd": 0, "ignore": 1, "difficult": 1},
        ],
        "ignored_regions": [{"image_id": 3, "bbox": [100, 50, 20, 10]}],
        **changes,
    }


def write(folder, content):
    file = folder / "instances.json"
    file.write_text(json.dumps(content))
    return file


def test_a_json(tmp_path):
    file = write(tmp_path, coco())
    ground_truth = from_coco_json(file)
    assert ground_truth.images == ("b.jpg", "sub/a.jpg") and ground_truth.sizes.tolist() == [[60, 90], [200, 120]]
    assert (
        ground_truth.names == ("ant", "bee")
        and ground_truth.classes.tolist() == [1, 0, 0]
        and ground_truth.image.tolist() == [1, 0, 1]
    )
    assert ground_truth.xyxy_px.tolist() == [[10, 20, 40, 60], [1, 2, 4, 6], [5, 6, 12, 14]]
    assert ground_truth.area.tolist() == [600.5, 9, 56]
    assert ground_truth.crowd.tolist() == [False, True, False] and ground_truth.ignored.tolist() == [False, False, True]
    assert ground_truth.region_xyxy_px.tolist() == [[100, 50, 120, 60]] and ground_truth.region_image.tolist() == [1]


def test_the_checksum_of_a_json_covers_what_is_scored(tmp_path):
    """Masks, the order of a file and images that are not selected do not change it."""
    whole = from_coco_json(write(tmp_path, coco())).select_images(("images/val/b.png", "images/val/a.png"), "gt")
    masked = [
        annotation | {"segmentation": [[1, 2, 3]], "id": n}
        for n, annotation in enumerate(reversed(coco()["annotations"]))
    ]
    more = [*reversed(coco()["images"]), {"id": 8, "file_name": "c.jpg", "width": 9, "height": 9}]
    official = from_coco_json(write(tmp_path, coco(info={}, annotations=masked, images=more)))
    assert official.select_images(("a.png", "b.png"), "gt").sha256 == whole.sha256 != official.sha256
    for changes in (
        {"bbox": [10, 20, 30, 41]},
        {"area": 600},
        {"iscrowd": 1},
        {"ignore": 1},
        {"category_id": 2},
        {"image_id": 7},
    ):
        first, *others = coco()["annotations"]
        changed = from_coco_json(write(tmp_path, coco(annotations=[first | changes, *others])))
        assert changed.select_images(("b.png", "a.png"), "gt").sha256 != whole.sha256
    for regions in ([], [{"image_id": 7, "bbox": [100, 50, 20, 10]}]):
        assert from_coco_json(write(tmp_path, coco(ignored_regions=regions))).sha256 != whole.sha256


def test_a_missing_area_is_that_of_the_box(tmp_path):
    annotation = coco()["annotations"][0]
    for missing in ({}, {"area": None}):
        file = write(
            tmp_path, coco(annotations=[{key: annotation[key] for key in annotation if key != "area"} | missing])
        )
        assert from_coco_json(file).area.tolist() == [1200]


def test_selected_images_in_another_order(tmp_path):
    whole = from_coco_json(write(tmp_path, coco()))
    both, first = (
        whole.select_images(("images/val/a.png", "b.png"), "gt"),
        whole.select_images(("images/val/a.png",), "gt"),
    )
    assert both.image.tolist() == [0, 1, 0] and both.sizes.tolist() == [[200, 120], [60, 90]]
    assert first.classes.tolist() == [1, 0] and first.image.tolist() == [0, 0] and first.region_image.tolist() == [0]
    assert len(whole.select_images(("b.png",), "gt").region_image) == 0


def test_missing_images_and_equal_names_are_refused(tmp_path):
    whole = from_coco_json(write(tmp_path, coco()))
    with pytest.raises(DatasetError, match=r"gt: is of another data set: c\.png is not one of its 2 images"):
        whole.select_images(("b.png", "c.png"), "gt")
    with pytest.raises(DatasetError, match="two of its images have the same name"):
        whole.select_images(("x/b.png", "y/b.png"), "gt")


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        coco(annotations=[{"image_id": 99, "category_id": 5, "bbox": [1, 2, 3, 4]}]),
        coco(annotations=[{"image_id": 3, "category_id": 1, "bbox": [1, 2, 3, 4]}]),
        coco(annotations=[{"image_id": 3, "category_id": 5, "bbox": [1, 2, 3]}]),
        coco(annotations=[{"image_id": 3, "category_id": 5, "bbox": [1, 2, "x", 4]}]),
        coco(annotations=[{"image_id": 3, "category_id": 5, "bbox": [1, 2, float("nan"), 4]}]),
        coco(annotations=[{"image_id": 3, "category_id": 5, "bbox": [1, 2, 3, 4], "area": float("nan")}]),
        coco(ignored_regions=[{"image_id": 3, "bbox": [1, 2, float("inf"), 4]}]),
        coco(images=[{"id": 7}]),
        coco(images=[*coco()["images"], {"id": 3, "file_name": "c.jpg", "width": 9, "height": 9}]),
        coco(categories="cat"),
        coco(categories=[*coco()["categories"], {"id": 2, "name": "cow"}]),
    ],
    ids=range(13),
)
def test_another_json_is_refused_by_its_name(tmp_path, content):
    with pytest.raises(DatasetError, match=r"instances\.json: "):
        from_coco_json(write(tmp_path, content))


def test_no_json_is_refused_by_its_name(tmp_path):
    file = tmp_path / "instances.json"
    for raw in (b"{", b"\xff\xfe\x00", b""):
        file.write_bytes(raw)
        with pytest.raises(DatasetError, match=r"instances\.json: cannot be read as a COCO json"):
            from_coco_json(file)
    with pytest.raises(DatasetError, match="cannot be read"):
        from_coco_json(tmp_path / "nowhere.json")
