"""How often an evaluation opens its data YAML, lists images and reads ground truth."""

import json
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import cv2
import pytest
import yaml
from ultralytics.data.base import BaseDataset

import akyolo
from akyolo.cli import main
from akyolo.errors import DatasetError
from tests.helpers.tiny_training import PLAIN, write_images, write_model

MOST_OPENINGS = 5  # of the data YAML, upstream's own included
EVALUATION = {"imgsz": 64, "batch": 4, "device": "cpu", "workers": 0, "plots": False, "conf": 0.00001, "max_det": 5}
LABEL_FILES, COCO_JSON = "label files", "COCO json"

counters = []


def count_openings(event, args):
    """Count every opened file, whoever opens it; a hook of the interpreter cannot be removed."""
    if counters and event == "open" and isinstance(args[0], str | bytes | Path):
        counters[-1][Path(str(args[0])).name] += 1


sys.addaudithook(count_openings)


@contextmanager
def counting(monkeypatch):
    """Count opened files by name, and listings of images by folder."""
    opened, listed = Counter(), Counter()
    list_images = BaseDataset.get_img_files

    def get_img_files(dataset, location):
        listed[Path(location).name] += 1
        return list_images(dataset, location)

    with monkeypatch.context() as patch:
        patch.setattr(BaseDataset, "get_img_files", get_img_files)
        counters.append(opened)
        try:
            yield opened, listed
        finally:
            counters.remove(opened)


def coco_json(folder):
    """Return the labels of the split `val` as a COCO json."""
    images, annotations = [], []
    for number, label in enumerate(sorted((folder / "data" / "labels" / "val").glob("*.txt"))):
        height, width = cv2.imread(str(folder / "data" / "images" / "val" / f"{label.stem}.png")).shape[:2]
        images.append({"id": number, "file_name": f"{label.stem}.png", "width": width, "height": height})
        class_id, x, y, w, h = map(float, label.read_text().split())
        box = [(x - w / 2) * width, (y - h / 2) * height, w * width, h * height]
        annotations.append({"id": number, "image_id": number, "category_id": int(class_id), "bbox": box})
    categories = [{"id": 0, "name": "even"}, {"id": 1, "name": "odd"}]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.fixture(scope="module", params=[LABEL_FILES, COCO_JSON])
def prepared(request, tmp_path_factory):
    """A folder with best.pt, data.yaml and detections.npz of an evaluation; upstream's scan of labels is kept."""
    folder = tmp_path_factory.mktemp("prepared")
    akyolo.YOLO(write_model(folder, PLAIN)).save(folder / "best.pt")
    data = Path(write_images(folder, 9, 4))
    if request.param == COCO_JSON:
        (folder / "data" / "truth.json").write_text(json.dumps(coco_json(folder)))
        data.write_text(data.read_text() + yaml.safe_dump({"annotations": {"val": "truth.json"}}))
    model = akyolo.YOLO(str(folder / "best.pt"))
    model.val(data=str(data), project=str(folder), protocol="coco", **EVALUATION)
    model.detections.rename(folder / "detections.npz")
    return request.param, folder


def check_read_once(ground_truth, opened, listed, detections=0):
    assert 1 <= opened["data.yaml"] <= MOST_OPENINGS
    assert listed == {"val": 1}
    assert opened["detections.npz"] == detections
    if ground_truth == COCO_JSON:
        assert opened["truth.json"] == 1
    for number in range(4):
        assert opened[f"{number:02}.txt"] == (ground_truth == LABEL_FILES)


def test_a_validation_reads_everything_once(prepared, monkeypatch):
    ground_truth, folder = prepared
    model = akyolo.YOLO(str(folder / "best.pt"))
    with counting(monkeypatch) as (opened, listed):
        model.val(data=str(folder / "data.yaml"), project=str(folder), protocol="coco", **EVALUATION)
    check_read_once(ground_truth, opened, listed)


def test_a_validation_without_a_protocol_reads_no_ground_truth_of_its_own(prepared, monkeypatch):
    _, folder = prepared
    model = akyolo.YOLO(str(folder / "best.pt"))
    with counting(monkeypatch) as (opened, listed):
        model.val(data=str(folder / "data.yaml"), project=str(folder), **EVALUATION)
    assert 1 <= opened["data.yaml"] <= MOST_OPENINGS and listed == {"val": 1}
    assert not opened["00.txt"] and not opened["truth.json"]


def test_the_command_val_reads_everything_once(prepared, monkeypatch, in_tmp, capfd):
    ground_truth, folder = prepared
    words = [f"{key}={value}" for key, value in EVALUATION.items()]
    with counting(monkeypatch) as (opened, listed):
        main(["val", str(folder / "best.pt"), f"data={folder / 'data.yaml'}", "protocol=coco", *words])
    check_read_once(ground_truth, opened, listed)


def test_the_command_score_reads_everything_once(prepared, monkeypatch, capfd):
    ground_truth, folder = prepared
    with counting(monkeypatch) as (opened, listed):
        main(["score", str(folder / "detections.npz")])
    check_read_once(ground_truth, opened, listed, detections=1)


@pytest.mark.parametrize("name", [None, "data.yaml"])
def test_the_function_score_reads_everything_once(prepared, monkeypatch, name):
    ground_truth, folder = prepared
    with counting(monkeypatch) as (opened, listed):
        akyolo.score(folder / "detections.npz", name and folder / name, "yolov5")
    check_read_once(ground_truth, opened, listed, detections=1)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere.yaml", "there is no data set file 'nowhere.yaml'"),
        ("voc.yaml", "`akyolo data prepare voc --root DIR` makes it"),
        ("empty.yaml", "images not found"),
        ("torn.yaml", "not plain YAML"),
    ],
)
@pytest.mark.parametrize("as_command", [False, True])
def test_a_validation_refuses_what_is_not_a_data_set(prepared, in_tmp, capfd, name, reason, as_command):
    _, folder = prepared
    Path("empty.yaml").write_text("path: .\ntrain: images/train\nval: images/val\nnames: [even, odd]\n")
    Path("torn.yaml").write_text("path: [\n")
    if as_command:
        with pytest.raises(SystemExit) as stop:
            main(["val", str(folder / "best.pt"), f"data={name}"])
        assert stop.value.code == 2 and reason in capfd.readouterr().err
    else:
        with pytest.raises(DatasetError, match=reason):
            akyolo.YOLO(str(folder / "best.pt")).val(data=name)
    assert not Path("runs").exists()
