"""A validation stores all detections of upstream, at their places, not clipped and not limited."""

import json
import time
from collections import Counter

import cv2
import numpy as np
import pytest
import torchvision
import yaml
from ultralytics import YOLO as UpstreamYOLO

import akyolo
from akyolo.errors import ConfigError, DatasetError, EvaluationError
from akyolo.scoring.detections import read_detections
from akyolo.scoring.protocols import PROTOCOLS
from akyolo.upstream.evaluation.score_file import score_file
from tests.helpers.tiny_training import PLAIN, arguments, write_model

pytestmark = pytest.mark.training

SIZES = ((96, 56), (80, 64), (52, 88))  # width, height: letterboxed by rows, not at all, by columns
EVALUATION = {"imgsz": 64, "batch": 4, "device": "cpu", "workers": 0, "plots": False, "verbose": False}
KEPT = {"P": "mp", "R": "mr", "mAP50": "map50", "mAP75": "map75", "mAP": "map"}


def write_shapes(folder, train=24, val=9):
    """Write bright and dark boxes, two or three in an image, in images of three sizes."""
    random = np.random.default_rng(1)
    for split, count in {"train": train, "val": val}.items():
        for kind in ("images", "labels"):
            (folder / "data" / kind / split).mkdir(parents=True)
        for number in range(count):
            width, height = SIZES[number % 3]
            image = random.integers(60, 120, (height, width, 3), dtype=np.uint8)
            rows = []
            for kind in random.integers(0, 2, 2 + number % 2):
                w, h = random.integers(14, 34, 2)
                x, y = random.integers(0, width - w), random.integers(0, height - h)
                image[y : y + h, x : x + w] = 240 if kind else 5
                rows.append(f"{kind} {(x + w / 2) / width} {(y + h / 2) / height} {w / width} {h / height}")
            cv2.imwrite(str(folder / "data" / "images" / split / f"{number:02}.png"), image)
            (folder / "data" / "labels" / split / f"{number:02}.txt").write_text("\n".join(rows))
    return write_yaml(folder)


def write_yaml(folder, **changes):
    file = folder / "data.yaml"
    splits = {"train": "images/train", "val": "images/val"}
    file.write_text(yaml.safe_dump({"path": str(folder / "data"), **splits, "names": ["dark", "bright"], **changes}))
    return str(file)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a folder with best.pt of a real training, and its data set."""
    folder = tmp_path_factory.mktemp("validator")
    model = akyolo.YOLO(write_model(folder, PLAIN))
    model.train(data=write_shapes(folder), **arguments(folder, epochs=10, optimizer="AdamW", lr0=0.02))
    model.trainer.best.rename(folder / "best.pt")
    return folder


@pytest.fixture(scope="module")
def evaluated(trained):
    """Return the score under Ultralytics' protocol, and the file."""
    model = akyolo.YOLO(str(trained / "best.pt"))
    score = model.val(
        data=str(trained / "data.yaml"), project=str(trained / "runs"), protocol="ultralytics", **EVALUATION
    )
    return score, model.detections


def upstreams(trained, **changes):
    more = {**EVALUATION, "data": str(trained / "data.yaml"), "project": str(trained / "upstream"), **changes}
    return UpstreamYOLO(str(trained / "best.pt")).val(**more)


def test_protocol_ultralytics_equals_upstream(trained, evaluated):
    box = upstreams(trained).box
    assert 0.05 < box.map < box.map50 < 0.99
    assert evaluated[0].metrics == pytest.approx({ours: getattr(box, its) for ours, its in KEPT.items()}, abs=1e-6)
    assert (evaluated[0].nms_iou, evaluated[0].max_det, evaluated[0].images) == (0.7, 300, 9)


def test_the_file_has_all_detections_of_upstream(trained, evaluated):
    """Upstream's json has them clipped and rounded; boxes with two labels stand there twice."""
    save_dir = upstreams(trained, save_json=True).save_dir
    theirs = Counter(
        (row["file_name"], row["category_id"] - 1, row["score"], tuple(row["bbox"]))
        for row in json.loads((save_dir / "predictions.json").read_text())
    )
    detections = read_detections(evaluated[1])
    sizes = np.array([SIZES[number % 3] for number in range(9)])
    assert detections.sizes.tolist() == sizes.tolist() and detections.images[3] == "images/val/03.png"
    boxes = detections.results(detections.sizes)
    ltwh = np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), axis=1)
    rows = zip(detections.image, detections.classes, detections.scores, ltwh, strict=True)
    ours = [
        (f"{i:02}.png", int(c), round(float(s), 5), tuple(round(float(v), 3) for v in box)) for i, c, s, box in rows
    ]
    assert len(ours) == sum(theirs.values()) > 100
    near = Counter((*row[:3], tuple(round(v, 1) for v in row[3])) for row in ours)
    assert (near - Counter((*row[:3], tuple(round(v, 1) for v in row[3])) for row in theirs.elements())).total() < 10
    # Not clipped: clipped boxes outside the image would all be the same point.
    twice = Counter(zip(detections.image.tolist(), map(tuple, detections.xyxy_px.tolist()), strict=True))
    assert max(twice.values()) == 2  # multi-label
    assert (detections.xyxy_px != boxes).any()  # not clipped in the file


def test_the_file_says_how_it_was_made(trained, evaluated):
    detections = read_detections(evaluated[1])
    assert detections.nms == {"conf": 0.001, "iou": 0.7, "max_det": 300, "multi_label": True, "agnostic": False}
    assert (
        detections.names == ("dark", "bright")
        and detections.split == "val"
        and detections.data == str(trained / "data.yaml")
    )
    assert detections.model["file"] == str(trained / "best.pt") and len(detections.model["sha256"]) == 64
    assert evaluated[1].name == "detections.npz" and not detections.annotations


def test_a_stored_file_has_the_same_scores_under_every_protocol(trained, evaluated):
    scores = {score.protocol: score for score in score_file(evaluated[1], list(PROTOCOLS))}
    assert scores["ultralytics"] == evaluated[0]
    for protocol in ("coco", "yolov7"):
        model = akyolo.YOLO(str(trained / "best.pt"))
        more = {"data": str(trained / "data.yaml"), "project": str(trained / "runs"), **EVALUATION}
        assert model.val(protocol=protocol, **more) == scores[protocol]


def test_nms_and_max_det_are_as_the_user_says(trained):
    model = akyolo.YOLO(str(trained / "best.pt"))
    more = {**EVALUATION, "data": str(trained / "data.yaml"), "project": str(trained / "runs")}
    score = model.val(protocol="coco", iou=0.55, max_det=7, conf=0.01, **more)
    detections = read_detections(model.detections)
    assert (score.nms_iou, score.max_det) == (0.55, 7) and detections.scores.min() > 0.01
    assert max(Counter(detections.image.tolist()).values()) == 7


@pytest.fixture(scope="module")
def dense(trained):
    """Return a folder of images with 310 objects."""
    folder = trained / "dense"
    write_shapes(folder, 4, 2)
    for file in (folder / "data" / "labels").rglob("*.txt"):
        places = [((n % 31 + 1) / 33, (n // 31 + 1) / 12) for n in range(310)]
        file.write_text("".join(f"{n % 2} {x} {y} 0.02 0.02\n" for n, (x, y) in enumerate(places)))
    return folder


def test_max_det_of_300_is_kept_where_images_hold_more(trained, dense):
    more = {**EVALUATION, "imgsz": 256, "project": str(dense / "runs"), "data": str(dense / "data.yaml")}
    model = akyolo.YOLO(str(trained / "best.pt"))
    score = model.val(protocol="coco", max_det=300, conf=0.0, iou=1.0, **more)
    detections = read_detections(model.detections)
    assert score.max_det == 300 and Counter(detections.image.tolist()) == {0: 300, 1: 300}
    seen = []
    model.add_callback("on_val_end", lambda validator: seen.append(validator.args.max_det))
    model.val(max_det=300, conf=0.0, iou=1.0, **more)
    assert seen == [300]


def test_a_training_keeps_max_det_too(trained, dense):
    model, seen = akyolo.YOLO(str(trained / "tiny.yaml")), []
    model.add_callback("on_val_end", lambda validator: seen.append(validator.args.max_det))
    model.train(data=str(dense / "data.yaml"), **arguments(dense, epochs=1))
    assert model.trainer.args.max_det == 300 and seen == [300, 300]  # of the epoch, and of best.pt
    assert akyolo.YOLO(str(model.trainer.last)).ckpt["train_args"]["max_det"] == 300


@pytest.mark.parametrize("protocol", [None, "ultralytics"])
def test_an_nms_that_runs_out_of_time_is_an_error(trained, monkeypatch, protocol):
    """Two seconds and a bit for a batch; upstream would count the images after that as empty."""
    original, slow = torchvision.ops.nms, []

    def nms(*args):
        if not slow:
            slow.append(time.sleep(2.3))
        return original(*args)

    monkeypatch.setattr(torchvision.ops, "nms", nms)
    more = {**EVALUATION, "data": str(trained / "data.yaml"), "project": str(trained / f"slow-{protocol}")}
    with pytest.raises(EvaluationError, match=r"NMS time limit 2\.200s exceeded"):
        akyolo.YOLO(str(trained / "best.pt")).val(protocol=protocol, **more)
    assert slow and not list((trained / f"slow-{protocol}").rglob("detections.npz"))


def test_an_image_that_upstream_drops_is_an_error(trained, tmp_path):
    data = write_shapes(tmp_path, 2, 3)
    (tmp_path / "data" / "labels" / "val" / "01.txt").write_text("1 0.5 0.5 1.5 0.5\n")
    more = {"data": data, "project": str(tmp_path), "protocol": "coco", **EVALUATION}
    with pytest.raises(DatasetError, match="1 of 3 images cannot be used: "):
        akyolo.YOLO(str(trained / "best.pt")).val(**more)
    with pytest.raises(DatasetError, match=r"data\.yaml: 1 of 3 images, or their labels, cannot be used"):
        akyolo.YOLO(str(trained / "best.pt")).val(allow_bad=True, **more)  # the number would be wrong


def test_the_models_classes_in_another_order_are_an_error(trained, tmp_path, caplog):
    write_shapes(tmp_path, 2, 3)
    more = {"project": str(tmp_path), "protocol": "coco", **EVALUATION}
    with pytest.raises(DatasetError, match="the classes of the model in another order: bright, dark"):
        akyolo.YOLO(str(trained / "best.pt")).val(data=write_yaml(tmp_path, names=["bright", "dark"]), **more)
    with pytest.raises(DatasetError, match="in another order: bright, grey"):
        akyolo.YOLO(str(trained / "best.pt")).val(data=write_yaml(tmp_path, names=["bright", "grey"]), **more)
    model = akyolo.YOLO(str(trained / "best.pt"))
    assert model.val(data=write_yaml(tmp_path, names=["Dark", "Bright"]), **more).per_class.keys() <= {"Dark", "Bright"}
    assert read_detections(model.detections).names == ("Dark", "Bright")
    assert "akyolo: 2 classes have another name than the model's: 'dark' is 'Dark' here" in caplog.text


def test_all_classes_as_one(trained):
    more = {**EVALUATION, "data": str(trained / "data.yaml"), "project": str(trained / "runs"), "single_cls": True}
    model = akyolo.YOLO(str(trained / "best.pt"))
    score = model.val(protocol="ultralytics", **more)
    box = upstreams(trained, single_cls=True).box
    assert score.metrics == pytest.approx({ours: getattr(box, its) for ours, its in KEPT.items()}, abs=1e-6)
    assert read_detections(model.detections).names == ("dark",)


@pytest.mark.parametrize("classes", [1, [1]])
def test_some_classes_alone(trained, classes):
    more = {**EVALUATION, "data": str(trained / "data.yaml"), "project": str(trained / "runs"), "classes": classes}
    model = akyolo.YOLO(str(trained / "best.pt"))
    score = model.val(protocol="ultralytics", **more)
    box = upstreams(trained, classes=[1]).box
    assert score.metrics == pytest.approx({ours: getattr(box, its) for ours, its in KEPT.items()}, abs=1e-6)
    assert score.per_class.keys() == {"bright"}
    assert score_file(model.detections, ["coco"])[0].per_class.keys() == {"bright"}


def coco_of(folder, **changes):
    """Return the labels as a COCO json; the first object of each image is ignored, and mask areas are half."""
    images, objects = [], []
    for file in sorted((folder / "data" / "labels" / "val").glob("*.txt")):
        width, height = SIZES[int(file.stem) % 3]
        number = 100 + int(file.stem)
        images.append({"id": number, "file_name": f"{file.stem}.png", "width": width, "height": height})
        for place, row in enumerate(file.read_text().splitlines()):
            kind, x, y, w, h = map(float, row.split())
            wide, tall = w * width, h * height
            box = [x * width - wide / 2, y * height - tall / 2, wide, tall]
            fields = {"image_id": number, "category_id": 4 + int(kind), "iscrowd": 0, "ignore": int(place == 0)}
            objects.append({"id": len(objects) + 1, "bbox": box, "area": wide * tall / 2, **fields})
    categories = [{"id": 4, "name": "dark"}, {"id": 5, "name": "bright"}]
    return {"images": images, "annotations": objects, "categories": categories, **changes}


def test_a_json_that_the_data_yaml_names_is_the_ground_truth(trained, tmp_path):
    data = write_shapes(tmp_path)
    file = tmp_path / "data" / "val.json"
    file.write_text(json.dumps(coco_of(tmp_path)))
    model = akyolo.YOLO(str(trained / "best.pt"))
    plain = model.val(data=data, protocol="coco", project=str(tmp_path), **EVALUATION)
    write_yaml(tmp_path, annotations={"val": "val.json"})
    named = model.val(data=data, protocol="coco", project=str(tmp_path), **EVALUATION)
    assert read_detections(model.detections).annotations
    assert named.labels_sha256 != plain.labels_sha256 and named.metrics["AR100"] != plain.metrics["AR100"]
    assert score_file(model.detections, ["coco"]) == [named]
    file.rename(file.with_name("away.json"))
    with pytest.raises(DatasetError, match=r"val\.json: cannot be read"):  # before the first image
        model.val(data=data, protocol="coco", project=str(tmp_path / "none"), **EVALUATION)
    content = coco_of(tmp_path)
    for annotation in content["annotations"]:
        annotation["segmentation"] = [[1, 2, 3, 4, 5, 6]]
    official = tmp_path / "instances.json"
    official.write_text(json.dumps(content))  # as COCO publishes it, and a prepared one has it without the masks
    assert score_file(model.detections, ["coco"], annotations=official) == [named]
    content["annotations"][0]["bbox"][0] += 1
    file.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"has other labels \(.{12}\) than .*detections\.npz was made with"):
        score_file(model.detections, ["coco"], annotations=file)
    with pytest.raises(DatasetError, match=r"has other labels \(.{12}\) than .*detections\.npz was made with"):
        score_file(model.detections, ["coco"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"categories": [{"id": 4, "name": "bright"}, {"id": 5, "name": "dark"}]},
            "calls class 0 'bright', not 'dark'",
        ),
        (
            {"categories": [{"id": n, "name": name} for n, name in ((4, "dark"), (5, "bright"), (6, "x"))]},
            "has 3 classes",
        ),
        (
            {"images": [{"id": 100, "file_name": "00.png", "width": 96, "height": 56}], "annotations": []},
            "another data set",
        ),
    ],
    ids=["names", "classes", "images"],
)
def test_a_json_of_something_else_is_refused(evaluated, trained, tmp_path, changes, reason):
    file = tmp_path / "val.json"
    file.write_text(json.dumps(coco_of(trained, **changes)))
    with pytest.raises(DatasetError, match=reason):
        score_file(evaluated[1], ["coco"], annotations=file)


def test_images_of_another_size_are_refused(evaluated, trained, tmp_path):
    content = coco_of(trained)
    content["images"][2]["width"] *= 2
    (tmp_path / "val.json").write_text(json.dumps(content))
    with pytest.raises(
        DatasetError, match=r"02\.png has 104x88 pixels in the ground truth, but 52x88 in the detections"
    ):
        score_file(evaluated[1], ["coco"], annotations=tmp_path / "val.json")


def test_an_unknown_protocol_is_refused_before_anything_runs(trained, tmp_path):
    model = akyolo.YOLO(str(trained / "best.pt"))
    with pytest.raises(ConfigError, match="no protocol 'yolo5'"):
        model.val(data=str(trained / "data.yaml"), project=str(tmp_path / "none"), protocol="yolo5", **EVALUATION)
    assert not (tmp_path / "none").exists()


def test_only_boxes_are_scored(trained):
    with pytest.raises(ConfigError, match="this model is for segment"):
        akyolo.YOLO("yolov8n-seg.yaml").val(data=str(trained / "data.yaml"), protocol="coco")
