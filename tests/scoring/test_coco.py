"""Protocol `coco` equals pycocotools on COCO's files, with crowds, mask areas and ids that have gaps."""

import contextlib
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from akyolo.scoring.coco import NAMES, evaluate, score_coco
from akyolo.scoring.coco_results import read_coco_results
from akyolo.scoring.ground_truth import from_coco_json
from akyolo.scoring.protocols import score
from tests.helpers.small_sets import make_detections, make_ground_truth, perfect, random_set

# of github.com/MiXaiLL76/faster_coco_eval, tests/dataset/cocoapi, as published with them
PUBLISHED = (0.505, 0.697, 0.573, 0.586, 0.519, 0.501, 0.387, 0.594, 0.595, 0.640, 0.566, 0.564)
CATEGORIES = {3: "cat", 17: "ant", 90: "bee"}  # not in the order of their names
BOX = (10, 20, 50, 40)


def write_official(folder, seed=5, images=40):
    """Ground truth and results as COCO has them, and where they are written; objects of all three sizes."""
    random = np.random.default_rng(seed)
    ids = random.permutation(1000)[:images]
    images_json = [{"id": int(i), "file_name": f"{i:012}.jpg", "width": 400, "height": 300} for i in ids]
    objects, results = [], []
    for image in ids.tolist():
        for _ in range(random.integers(0, 8)):
            category, side = int(random.choice(list(CATEGORIES))), random.uniform(8, 190, 2)
            ltwh = np.round([*random.uniform(0, (200, 100)), *side], 2)
            crowd = int(random.random() < 0.1)
            area = float(side.prod() * random.uniform(0.4, 0.9))
            fields = {"id": len(objects) + 1, "image_id": image, "category_id": category, "iscrowd": crowd}
            objects.append({**fields, "bbox": ltwh.tolist(), "area": area, "segmentation": []})
            for _ in range(random.integers(0, 4)):
                moved = np.round(ltwh + random.normal(0, side.mean() / 12, 4), 2)
                results.append(
                    {
                        "image_id": image,
                        "category_id": category if random.random() < 0.8 else int(random.choice(list(CATEGORIES))),
                        "bbox": [*moved[:2].clip(0), *moved[2:].clip(3)],
                        "score": float(random.random()),
                    }
                )
    categories = [{"id": key, "name": name} for key, name in reversed(CATEGORIES.items())]
    files = folder / "instances.json", folder / "results.json"
    files[0].write_text(json.dumps({"images": images_json, "categories": categories, "annotations": objects}))
    files[1].write_text(json.dumps(results))
    return files


def by_pycocotools(annotations, results):
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO(str(annotations))
        evaluation = COCOeval(ground_truth, ground_truth.loadRes(str(results)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    return write_official(tmp_path_factory.mktemp("coco"))


def test_the_metrics_equal_pycocotools_on_the_files(official):
    detections, ground_truth = read_coco_results(official[1], official[0])
    values, per_class = score_coco(detections, ground_truth)
    expected = by_pycocotools(*official)
    assert all(0.05 < value < 0.95 for value in expected)
    assert list(values) == list(NAMES) and list(values.values()) == pytest.approx(expected, abs=1e-9)
    assert np.mean([metrics["AP"] for metrics in per_class.values()]) == pytest.approx(values["AP"])


def test_results_of_other_programs_are_not_clipped(official, tmp_path):
    """pycocotools clips nothing: it scores what a program wrote."""
    rows, beyond = json.loads(official[1].read_text()), tmp_path / "results.json"
    for place, row in enumerate(rows):
        row["bbox"] = [row["bbox"][0] - 20, row["bbox"][1], row["bbox"][2] + 90 * (place % 3), row["bbox"][3]]
    beyond.write_text(json.dumps(rows))
    values, _ = score_coco(*read_coco_results(beyond, official[0]))
    assert list(values.values()) == pytest.approx(by_pycocotools(official[0], beyond), abs=1e-9)


def test_faster_coco_eval_gives_the_same_metrics(official):
    pytest.importorskip("faster_coco_eval")
    detections, ground_truth = read_coco_results(official[1], official[0])
    ground_truth = dataclasses.replace(ground_truth, ignored=np.arange(len(ground_truth.image)) % 7 == 0)
    with contextlib.redirect_stdout(io.StringIO()):
        slow, quick = (evaluate(detections, ground_truth, fast) for fast in (False, True))
    assert np.abs(np.asarray(slow.stats) - np.asarray(quick.stats)[:12]).max() < 1e-9
    assert np.abs(slow.eval["precision"] - np.asarray(quick.eval["precision"])).max() < 1e-9


@pytest.mark.parametrize("fast", [False, True])
def test_the_published_figures(request, monkeypatch, fast):
    folder = request.config.getoption("--coco-golden-dir")
    if not folder:
        pytest.skip("without --coco-golden-dir")
    if fast:
        pytest.importorskip("faster_coco_eval")
    monkeypatch.setattr("akyolo.scoring.coco.find_spec", lambda name: fast or None)
    (annotations,) = Path(folder).glob("instances_val2014_100.json")
    (results,) = Path(folder).glob("instances_val2014_fakebbox100_results.json")
    values = score("coco", *read_coco_results(results, annotations)).metrics
    assert tuple(round(value, 3) for value in values.values()) == PUBLISHED


def test_the_area_is_that_of_the_mask(official):
    """With the areas of the boxes, other objects would be small."""
    detections, ground_truth = read_coco_results(official[1], official[0])
    boxes = dataclasses.replace(
        ground_truth, area=(ground_truth.xyxy_px[:, 2:] - ground_truth.xyxy_px[:, :2]).prod(axis=1)
    )
    assert score_coco(detections, boxes)[0]["APM"] != pytest.approx(
        score_coco(detections, ground_truth)[0]["APM"], abs=1e-3
    )


def test_classes_are_in_the_order_of_category_ids(official):
    ground_truth = from_coco_json(official[0])
    assert ground_truth.names == ("cat", "ant", "bee") and ground_truth.categories == (3, 17, 90)


def test_difficult_objects_count_neither_way():
    ground_truth = make_ground_truth([(0, 1, *BOX), (0, 1, 100, 60, 180, 110)])
    difficult = dataclasses.replace(ground_truth, ignored=np.array([True, False]))
    detections = make_detections([(0, 1, 0.9, *BOX), (0, 1, 0.8, 100, 60, 180, 110)], ground_truth)
    only = make_detections([(0, 1, 0.8, 100, 60, 180, 110)], ground_truth)
    for some in (detections, only):
        assert score("coco", some, difficult).metrics["AP"] == pytest.approx(1)
    assert score("coco", only, ground_truth).metrics["AP50"] == pytest.approx(51 / 101)


def test_a_crowd_matches_many_detections():
    ground_truth = make_ground_truth([(0, 1, 100, 60, 180, 110), (0, 1, *BOX)])
    crowded = dataclasses.replace(ground_truth, crowd=np.array([False, True]))
    inside = [(0, 1, 0.9 - x / 100, 10 + x, 20, 20 + x, 40) for x in (0, 10, 20)]
    detections = make_detections([*inside, (0, 1, 0.5, 100, 60, 180, 110)], ground_truth)
    assert score("coco", detections, crowded).metrics["AP"] == pytest.approx(1)
    assert score("coco", detections, ground_truth).metrics["AP"] < 0.5


def test_sizes_that_no_object_has_are_not_measured():
    ground_truth = make_ground_truth([(0, 1, *BOX)])  # 800 square pixels
    values = score("coco", perfect(ground_truth), ground_truth).metrics
    assert values["APS"] == pytest.approx(1) and values["APM"] is None and values["ARL"] is None


def test_boxes_are_clipped_to_the_image():
    ground_truth = make_ground_truth([(0, 1, 160, 80, 200, 120)])
    detections = make_detections([(0, 1, 0.9, 160, 80, 220, 160)], ground_truth)
    assert score("coco", detections, ground_truth).metrics["AP"] == pytest.approx(1)


def test_a_hundred_detections_of_a_class_count(capsys):
    ground_truth = make_ground_truth([(0, 1, *BOX)])
    ahead = [(0, 1, 0.9, 100, 60, 110 + x / 10, 70) for x in range(99)]
    last = make_detections([*ahead, (0, 1, 0.1, *BOX)], ground_truth)
    behind = make_detections([*ahead, (0, 1, 0.5, 0, 0, 5, 5), (0, 1, 0.1, *BOX)], ground_truth)
    assert (
        score("coco", last, ground_truth).metrics["AR100"] == 1
        and score("coco", behind, ground_truth).metrics["AR100"] == 0
    )
    assert capsys.readouterr().out == ""  # pycocotools prints all it does
    assert score("coco", *random_set(1)).metrics["AP"] > 0.01
