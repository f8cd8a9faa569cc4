"""`akyolo val ... protocol=` and `akyolo score`: one file under all protocols, and refusals in one line."""

import json
import shutil
import time
from pathlib import Path

import pytest
import torchvision

import akyolo
from akyolo.cli import main
from akyolo.scoring.protocols import PROTOCOLS
from tests.helpers.tiny_training import PLAIN, write_images, write_model

KEYS = {"protocol", "nms_iou", "max_det", "labels_sha256", "images", "metrics", "per_class"}
EVALUATION = ("imgsz=64", "batch=4", "device=cpu", "workers=0", "plots=False", "conf=0.00001", "max_det=50", "iou=0.6")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a folder with untrained weights and a data set."""
    folder = tmp_path_factory.mktemp("score")
    akyolo.YOLO(write_model(folder, PLAIN)).save(folder / "best.pt")
    write_images(folder, 2, 5)
    return folder


@pytest.fixture(scope="module")
def stored(made):
    """Return their detections."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        main(["val", "best.pt", "data=data.yaml", "protocol=yolov7", *EVALUATION])
    return made / "runs" / "detect" / "val" / "detections.npz"


def test_val_prints_the_score_and_what_to_do_next(made, in_tmp, capfd):
    main(["val", str(made / "best.pt"), f"data={made / 'data.yaml'}", "protocol=yolov7", *EVALUATION])
    out = capfd.readouterr().out
    about = next(line for line in out.splitlines() if line.startswith("yolov7"))
    assert "NMS IoU 0.6  max_det 50  labels " in about and about.endswith("  5 images")
    assert out.endswith("next: akyolo score runs/detect/val/detections.npz --protocol all\n")
    assert Path("runs/detect/val/detections.npz").is_file()


def test_all_protocols_as_a_table_and_as_json(stored, capfd):
    main(["score", str(stored)])
    table = capfd.readouterr().out
    assert [line.split()[0] for line in table.splitlines()[::2]] == list(PROTOCOLS)
    main(["score", str(stored), "--protocol", "all", "--json"])
    scores = json.loads(capfd.readouterr().out)
    assert [score["protocol"] for score in scores] == list(PROTOCOLS)
    for score in scores:
        assert score.keys() == KEYS and (score["nms_iou"], score["max_det"], score["images"]) == (0.6, 50, 5)
        assert all(value is None or 0 <= value <= 1 for value in score["metrics"].values())
    assert len({score["labels_sha256"] for score in scores}) == 1


def test_some_protocols(stored, capfd):
    main(["score", str(stored), "--protocol", "visdrone,coco", "--json"])
    assert [score["protocol"] for score in json.loads(capfd.readouterr().out)] == ["visdrone", "coco"]


def test_a_data_set_that_has_moved(stored, made, tmp_path, fails, capfd):
    shutil.copytree(made / "data", tmp_path / "elsewhere" / "data")
    moved = tmp_path / "elsewhere" / "data.yaml"
    moved.write_text((made / "data.yaml").read_text().replace(str(made), str(moved.parent)))
    main(["score", str(stored), "--data", str(moved), "--json"])
    moved_scores = capfd.readouterr().out
    main(["score", str(stored), "--json"])
    assert capfd.readouterr().out == moved_scores
    label = moved.parent / "data" / "labels" / "val" / "02.txt"
    label.write_text(label.read_text().replace("0 ", "1 ", 1))
    assert "has other labels (" in fails("score", str(stored), "--data", str(moved))
    (moved.parent / "data" / "images" / "val" / "02.png").unlink()
    assert "has no images/val/02.png among its 4 val images" in fails("score", str(stored), "--data", str(moved))
    moved.write_text(moved.read_text().replace("odd", "uneven"))
    label.with_name("03.txt").write_text("")
    assert str(moved) in fails("score", str(stored), "--data", str(moved))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("STORED", "--protocol", "yolo7"), "did you mean 'yolov7'"),
        (("STORED", "--data", "nowhere.yaml"), "there is no data set file 'nowhere.yaml'"),
        (("STORED", "--data", "coco8.yaml"), "coco8.yaml: "),
        (("STORED", "--annotations", "nowhere.json"), "nowhere.json: cannot be read as a COCO json"),
        (("STORED", "--protocol", "yolov5, yolo7"), "there is no protocol 'yolo7'"),
        (("nowhere.npz",), "nowhere.npz: is not a file of detections (No such file or directory)"),
        (("MADE/best.pt",), "best.pt: is not a file of detections"),
        (("MADE/data.yaml",), "data.yaml: is not a file of detections (it is not an .npz)"),
        (("results.json",), "give --annotations GT.json"),
    ],
    ids=str,
)
def test_what_is_refused(stored, made, fails, words, reason):
    words = [word.replace("STORED", str(stored)).replace("MADE", str(made)) for word in words]
    assert reason in fails("score", *words)


def test_results_of_another_program(tmp_path, fails, capfd):
    ground_truth, results = tmp_path / "gt.json", tmp_path / "results.json"
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 90, "height": 60} for n in (4, 8)]
    objects = [{"id": n, "image_id": n, "category_id": 7, "bbox": [n, 5, 30, 20], "area": 600} for n in (4, 8)]
    categories = [{"id": 7, "name": "cat"}]
    ground_truth.write_text(json.dumps({"images": images, "annotations": objects, "categories": categories}))
    rows = [{"image_id": 8, "category_id": 7, "bbox": [8, 5, 30, 20], "score": 0.5}]
    results.write_text(json.dumps(rows))
    main(["score", str(results), "--annotations", str(ground_truth), "--protocol", "coco,visdrone", "--json"])
    coco, visdrone = json.loads(capfd.readouterr().out)
    assert coco["metrics"]["AP"] == pytest.approx(51 / 101) and visdrone["metrics"]["AP"] == 0.5
    assert coco["images"] == 2 and coco["nms_iou"] is None and coco["max_det"] is None
    for wrong, reason in (({"image_id": 5}, "5 is an id that"), ({"category_id": 1}, "1 is an id that")):
        results.write_text(json.dumps([{**rows[0], **wrong}]))
        assert reason in fails("score", str(results), "--annotations", str(ground_truth))
    for wrong in ({"score": float("nan")}, {"score": None}, {"score": 95}, {"bbox": [8, 5, float("inf"), 20]}):
        results.write_text(json.dumps([{**rows[0], **wrong}]))
        assert "results.json: is not a COCO json of results (a box that is" in fails(
            "score", str(results), "--annotations", str(ground_truth)
        )
    for text in ('{"a": 1}', "[3]", "[", '[{"image_id": 8, "category_id": 7, "bbox": [1, 2], "score": 1}]'):
        results.write_text(text)
        assert "results.json: " in fails("score", str(results), "--annotations", str(ground_truth))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("val", "BEST", "protocol=yolo5"), "did you mean 'yolov5'"),
        (("val", "BEST", "protocol=3"), "there is no protocol 3"),
        (("train", "BEST", "protocol=coco"), "unknown argument 'protocol'"),
        (("predict", "BEST", "protocol=coco"), "unknown argument 'protocol'"),
    ],
    ids=str,
)
def test_what_upstreams_modes_refuse(made, fails, words, reason):
    words = [word.replace("BEST", str(made / "best.pt")) for word in words]
    assert reason in fails(*words, f"data={made / 'data.yaml'}")


def test_an_nms_out_of_time_ends_in_one_line_and_exit_code_2(made, in_tmp, monkeypatch, capfd):
    original = torchvision.ops.nms
    monkeypatch.setattr(torchvision.ops, "nms", lambda *args: time.sleep(2.3) or original(*args))
    with pytest.raises(SystemExit) as stop:
        main(["val", str(made / "best.pt"), f"data={made / 'data.yaml'}", *EVALUATION])
    err = capfd.readouterr().err
    assert stop.value.code == 2 and "akyolo: NMS time limit 2.200s exceeded" in err and "Traceback" not in err


def test_help(capsys):
    main(["val", "--help"])
    assert "protocol=" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["score", "--help"])
    assert "--annotations" in capsys.readouterr().out
