"""COCO's numbers are those of pycocotools on the official files, with crowds, mask areas and ids that have gaps."""

import contextlib
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from akyolo.scoring.coco import NAMES, evaluated, score_coco
from akyolo.scoring.coco_results import read_coco_results
from akyolo.scoring.ground_truth import from_coco_json
from akyolo.scoring.protocols import score
from tests.helpers.small_sets import detections, perfect, random_set, truth

# of github.com/MiXaiLL76/faster_coco_eval, tests/dataset/cocoapi, as published with them
PUBLISHED = (0.505, 0.697, 0.573, 0.586, 0.519, 0.501, 0.387, 0.594, 0.595, 0.640, 0.566, 0.564)
CATEGORIES = {3: "cat", 17: "ant", 90: "bee"}  # not in the order of their names
BOX = (10, 20, 50, 40)


def write_official(folder, seed=5, images=40):
    """Ground truth and results as COCO has them, and where they are written; objects of all three sizes."""
    random = np.random.default_rng(seed)
    ids = random.permutation(1000)[:images]
    pictures = [{"id": int(i), "file_name": f"{i:012}.jpg", "width": 400, "height": 300} for i in ids]
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
    files[0].write_text(json.dumps({"images": pictures, "categories": categories, "annotations": objects}))
    files[1].write_text(json.dumps(results))
    return files


def by_pycocotools(annotations, results):
    with contextlib.redirect_stdout(io.StringIO()):
        there = COCO(str(annotations))
        evaluation = COCOeval(there, there.loadRes(str(results)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    return write_official(tmp_path_factory.mktemp("coco"))


def test_pycocotools_on_the_files_says_the_same(official):
    found, there = read_coco_results(official[1], official[0])
    values, per_class = score_coco(found, there)
    expected = by_pycocotools(*official)
    assert all(0.05 < value < 0.95 for value in expected)
    assert list(values) == list(NAMES) and list(values.values()) == pytest.approx(expected, abs=1e-9)
    assert np.mean([one["AP"] for one in per_class.values()]) == pytest.approx(values["AP"])


def test_results_that_leave_their_images_are_scored_as_they_are(official, tmp_path):
    """pycocotools cuts nothing at the edges: what a program wrote is what it is scored by."""
    rows, beyond = json.loads(official[1].read_text()), tmp_path / "results.json"
    for place, row in enumerate(rows):
        row["bbox"] = [row["bbox"][0] - 20, row["bbox"][1], row["bbox"][2] + 90 * (place % 3), row["bbox"][3]]
    beyond.write_text(json.dumps(rows))
    values, _ = score_coco(*read_coco_results(beyond, official[0]))
    assert list(values.values()) == pytest.approx(by_pycocotools(official[0], beyond), abs=1e-9)


def test_faster_coco_eval_says_the_same(official):
    pytest.importorskip("faster_coco_eval")
    found, there = read_coco_results(official[1], official[0])
    there = dataclasses.replace(there, ignored=np.arange(len(there.image)) % 7 == 0)
    with contextlib.redirect_stdout(io.StringIO()):
        one, other = (evaluated(found, there, fast) for fast in (False, True))
    assert np.abs(np.asarray(one.stats) - np.asarray(other.stats)[:12]).max() < 1e-9
    assert np.abs(one.eval["precision"] - np.asarray(other.eval["precision"])).max() < 1e-9


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


def test_the_area_is_the_masks(official):
    """Counted by boxes, other objects would be small."""
    found, there = read_coco_results(official[1], official[0])
    boxes = dataclasses.replace(there, area=(there.xyxy_px[:, 2:] - there.xyxy_px[:, :2]).prod(axis=1))
    assert score_coco(found, boxes)[0]["APM"] != pytest.approx(score_coco(found, there)[0]["APM"], abs=1e-3)


def test_classes_go_by_category_id(official):
    there = from_coco_json(official[0])
    assert there.names == ("cat", "ant", "bee") and there.categories == (3, 17, 90)


def test_difficult_objects_need_not_be_found_and_may_be():
    there = truth([(0, 1, *BOX), (0, 1, 100, 60, 180, 110)])
    difficult = dataclasses.replace(there, ignored=np.array([True, False]))
    found = detections([(0, 1, 0.9, *BOX), (0, 1, 0.8, 100, 60, 180, 110)], there)
    only = detections([(0, 1, 0.8, 100, 60, 180, 110)], there)
    for some in (found, only):
        assert score("coco", some, difficult).metrics["AP"] == pytest.approx(1)
    assert score("coco", only, there).metrics["AP50"] == pytest.approx(51 / 101)


def test_a_crowd_takes_many():
    there = truth([(0, 1, 100, 60, 180, 110), (0, 1, *BOX)])
    crowded = dataclasses.replace(there, crowd=np.array([False, True]))
    inside = [(0, 1, 0.9 - x / 100, 10 + x, 20, 20 + x, 40) for x in (0, 10, 20)]
    found = detections([*inside, (0, 1, 0.5, 100, 60, 180, 110)], there)
    assert score("coco", found, crowded).metrics["AP"] == pytest.approx(1)
    assert score("coco", found, there).metrics["AP"] < 0.5


def test_sizes_that_no_object_has_are_not_measured():
    there = truth([(0, 1, *BOX)])  # 800 square pixels
    values = score("coco", perfect(there), there).metrics
    assert values["APS"] == pytest.approx(1) and values["APM"] is None and values["ARL"] is None


def test_boxes_are_cut_at_the_edges():
    there = truth([(0, 1, 160, 80, 200, 120)])
    found = detections([(0, 1, 0.9, 160, 80, 220, 160)], there)
    assert score("coco", found, there).metrics["AP"] == pytest.approx(1)


def test_a_hundred_detections_of_a_class_count(capsys):
    there = truth([(0, 1, *BOX)])
    ahead = [(0, 1, 0.9, 100, 60, 110 + x / 10, 70) for x in range(99)]
    last = detections([*ahead, (0, 1, 0.1, *BOX)], there)
    behind = detections([*ahead, (0, 1, 0.5, 0, 0, 5, 5), (0, 1, 0.1, *BOX)], there)
    assert score("coco", last, there).metrics["AR100"] == 1 and score("coco", behind, there).metrics["AR100"] == 0
    assert capsys.readouterr().out == ""  # pycocotools prints all it does
    assert score("coco", *random_set(1)).metrics["AP"] > 0.01
