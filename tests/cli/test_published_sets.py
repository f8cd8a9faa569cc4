"""From annotations to scores by the commands alone: prepare or import, check, train, val, score."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from akyolo.cli import main
from akyolo.scoring.detections import read_detections
from akyolo.scoring.protocols import PROTOCOLS
from tests.helpers import published_look_alikes as look_alikes
from tests.helpers.tiny_training import PLAIN, write_model
from tests.helpers.voc_look_alikes import Voc, an_object, annotation

pytestmark = pytest.mark.training

TINY = ("imgsz=64", "batch=4", "device=cpu", "workers=0", "plots=False")
DIFFICULT = "<difficult>1</difficult>"
YOLO = ("yolov5", "yolov5-smooth", "yolov7", "ultralytics")

# an object to find and a crowd, in image 139; a crowd alone; no object
COCO = [
    {"id": 5, "image_id": 139, "category_id": 3, "bbox": [1, 2, 50, 40], "area": 333.25, "iscrowd": 0},
    {"id": 6, "image_id": 139, "category_id": 1, "bbox": [40.5, 8, 20, 30], "area": 250, "iscrowd": 0},
    {"id": 7, "image_id": 285, "category_id": 1, "bbox": [0, 0, 64, 48], "area": 900, "iscrowd": 1},
]
# an object to find and a difficult one; nothing but difficult; no object
VOC = {
    "000001": [an_object("dog", (48, 24, 95, 71)), an_object("person", (8, 12, 40, 79), DIFFICULT)],
    "000002": [an_object("dog", (11, 21, 60, 70), DIFFICULT), an_object("person", (61, 5, 90, 44), DIFFICULT)],
    "000003": [],
    "000004": [an_object("person", (1, 1, 100, 80))],
}
# a car in the open and one in an ignored region; an ignored region alone; no object
VISDRONE = {
    "0000001_02999_d_0000005": "40,2,30,20,1,4,0,0,\r\n4,30,10,10,1,4,0,0\r\n0,25,36,31,0,0,0,0\r\n9,9,9,9,0,11,0,0",
    "0000001_03499_d_0000006": "0,0,72,56,0,0,0,0",
    "0000001_03999_d_0000007": "",
    "0000001_04499_d_0000008": "10,10,20,20,1,10,0,0\n",
}


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Look-alikes whose validation images hold all that an evaluation must not count."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(look_alikes.COCO_BOXES, "val", COCO)
    monkeypatch.setitem(look_alikes.COCO_IMAGES, "val", (139, 285, 632))
    monkeypatch.setitem(look_alikes.VOC_OBJECTS, "VOC2007", look_alikes.VOC_OBJECTS["VOC2007"] | VOC)
    monkeypatch.setitem(look_alikes.VOC_LISTS, "VOC2007", look_alikes.VOC_LISTS["VOC2007"] | {"test": list(VOC)})
    monkeypatch.setitem(look_alikes.VISDRONE_LINES, "val", VISDRONE)

    def make(name, images, considered):
        made = getattr(look_alikes, name)(tmp_path / "数据 集é" / name)
        made.content["splits"]["val"]["counts"] = {"images": images, "considered": considered}
        made.write()
        return made

    return make


class Chain:
    """A data set, and a model trained and evaluated on it."""

    def __init__(self, folder, root):
        self.folder, self.root = folder, root
        self.data = f"data={self.root / 'data.yaml'}"
        main(["data", "check", str(self.root / "data.yaml")])
        main(["train", write_model(folder, PLAIN), self.data, "epochs=1", *TINY])
        best = next(folder.glob("runs/detect/train/weights/best.pt"))
        main(["val", str(best), self.data, "protocol=coco", "conf=0.00001", *TINY])
        self.file = folder / "runs" / "detect" / "val" / "detections.npz"
        self.found = read_detections(self.file)

    def scores(self, capfd, found):
        """What each protocol says of (image, class, score, x1, y1, x2, y2) in the place of what the model found."""
        rows = np.array(found, float).reshape(-1, 7)
        columns = {"image": rows[:, 0].astype(int), "classes": rows[:, 1].astype(int), "scores": rows[:, 2]}
        other = dataclasses.replace(self.found, xyxy_px=rows[:, 3:], **columns)
        file = self.folder / "other.npz"
        file.write_bytes(other.to_bytes())
        capfd.readouterr()
        main(["score", str(file), "--protocol", "all", "--json"])
        scores = json.loads(capfd.readouterr().out)
        assert [one["protocol"] for one in scores] == list(PROTOCOLS)
        assert {one["labels_sha256"] for one in scores} == {self.found.labels_sha256}
        return {one["protocol"]: one["metrics"] for one in scores}


def prepared(made, folder, *words):
    root = folder / "集 prepared"
    main(["data", "prepare", str(made.file), "--from", str(made.folder), "--root", str(root), *words])
    return Chain(folder, root)


def imported(voc, folder, *words):
    root = folder / "集 imported"
    main(["data", "import", "voc-xml", str(voc.root), "--out", str(root), *words])
    return Chain(folder, root)


def of(scores, protocols, name):
    return [scores[one][name] for one in protocols]


ONE = pytest.approx(1)


def ones(count):
    return pytest.approx([1] * count, abs=0.005 + 1e-9)  # some curves fall at the last of 101 recalls


def test_coco(published, in_tmp, capfd):
    chain = prepared(published("coco", 3, 2), in_tmp)
    assert chain.found.annotations and chain.found.names == ("person", "car", "toothbrush")
    assert chain.found.images == tuple(f"images/val/{n:012d}.jpg" for n in (139, 285, 632))
    good = [(0, 1, 0.5, 1, 2, 51, 42), (0, 0, 0.4, 40.5, 8, 60.5, 38)]
    right = chain.scores(capfd, good)
    assert of(right, YOLO, "mAP") == ones(4) and right["coco"]["AP"] == right["visdrone"]["AP"] == ONE
    assert right["coco"]["APS"] == ONE and right["coco"]["APM"] is None  # by the masks; the car's box is a medium one
    crowded = chain.scores(capfd, [(1, 0, 0.9, 5, 5, 25, 30), (1, 0, 0.8, 30, 10, 60, 40), *good])
    assert crowded["coco"] == right["coco"] and crowded["visdrone"] == right["visdrone"]
    assert max(of(crowded, YOLO, "mAP50")) < 0.8  # these programs know no crowds


def check_voc(chain, capfd, boxes):
    """Difficult objects do not count, whether they are found or not."""
    assert chain.found.names == ("dog", "person") and len(chain.found.images) == 4
    dog, person = ((47, 23, 95, 71), (0, 0, 100, 80)) if boxes == "exact" else ((47, 23, 94, 70), (0, 0, 99, 79))
    good = [(0, 0, 0.5, *dog), (3, 1, 0.4, *person)]
    right = chain.scores(capfd, good)
    assert of(right, YOLO, "mAP") == ones(4) and right["coco"]["AP"] == ONE
    difficult = chain.scores(capfd, [(0, 1, 0.9, 7, 11, 40, 79), (1, 0, 0.8, 10, 20, 60, 70), *good])
    assert difficult["coco"] == right["coco"]
    assert max(of(difficult, YOLO, "mAP50")) < 0.8
    nothing = chain.scores(capfd, [])
    assert nothing["coco"]["AP"] == nothing["yolov5"]["mAP"] == 0


@pytest.mark.parametrize("boxes", ["exact", "paper"])
def test_voc(published, in_tmp, capfd, boxes):
    check_voc(prepared(published("voc", 4, 2), in_tmp, "--boxes", boxes), capfd, boxes)


@pytest.mark.parametrize("boxes", ["exact", "paper"])
def test_imported_voc(in_tmp, capfd, boxes):
    voc = Voc(in_tmp / "数据 集é").lists(train=["a", "b"], val=list(VOC)).add("a", an_object("dog")).add("b")
    for stem, objects in VOC.items():
        voc.image(f"{stem}.jpg")
        voc.xml(stem, annotation(*objects))
    chain = imported(voc, in_tmp, "--boxes", boxes, "--names", "dog,person")
    check_voc(chain, capfd, boxes)
    labels = [len((chain.root / "labels" / "val" / f"{stem}.txt").read_text().splitlines()) for stem in VOC]
    assert labels == ([2, 2, 0, 1] if boxes == "exact" else [1, 0, 0, 1])


def test_visdrone(published, in_tmp, capfd):
    chain = prepared(published("visdrone", 4, 3), in_tmp)
    assert chain.found.names[3] == "car" and chain.found.names[9] == "motor" and len(chain.found.names) == 10
    with (chain.root / "rejected.csv").open(encoding="utf-8") as stream:
        reasons = [row["reason"] for row in csv.DictReader(stream) if row["file"].startswith("0000001_")]
    assert reasons == ["ignored region", "category 11, others", "ignored region"]
    good = [(0, 3, 0.5, 40, 2, 70, 22), (3, 9, 0.4, 10, 10, 30, 30)]
    there = [(0, 3, 0.9, 4, 30, 14, 40), (0, 3, 0.8, 2, 28, 30, 50), (1, 9, 0.7, 20, 20, 40, 40)]  # in the regions
    outside, both = chain.scores(capfd, good), chain.scores(capfd, [*there, *good])
    assert outside["visdrone"] == both["visdrone"] and both["visdrone"]["AP"] == both["visdrone"]["AP_plain"] == ONE
    assert outside["coco"]["AP"] < 0.8 and max(of(outside, YOLO, "mAP")) < 0.9  # which know no regions
    assert max(of(both, YOLO, "mAP50")) < 0.9
    whole = chain.scores(capfd, [*good, there[0]])
    assert of(whole, YOLO, "mAP") == ones(4)


def test_labels_that_change_after_the_evaluation_are_noticed(published, in_tmp, capfd, fails):
    chain = prepared(published("coco", 3, 2), in_tmp)
    capfd.readouterr()
    truth = chain.root / "annotations" / "val.json"
    content = json.loads(truth.read_text())
    content["annotations"][0]["bbox"][0] += 1
    truth.write_text(json.dumps(content))
    assert "has other labels (" in fails("score", str(chain.file))
    truth.unlink()
    assert "val.json: cannot be read as a COCO json" in fails("score", str(chain.file))
