"""The programs of the YOLO family where they differ, by numbers that can be checked by hand."""

import dataclasses

import numpy as np
import pytest
import torch
from ultralytics.engine.validator import BaseValidator
from ultralytics.utils.metrics import ap_per_class, box_iou

from akyolo.scoring.protocols import score
from tests.helpers.small_sets import detections, perfect, random_set, truth

YOLO = ("yolov5", "yolov5-smooth", "yolov7", "ultralytics")
BOX, OTHER = (10, 20, 50, 40), (100, 60, 180, 110)


def metrics(protocol, found, there):
    return score(protocol, found, there).metrics


# two objects, one of them found, without a mistake: the hull is 1 up to recall 0.5, and then
@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("yolov5", 0.5 + 0.5 / 2),  # a line to (1, 0)
        ("yolov5-smooth", 0.5 + 0.5 / 2),
        ("yolov7", 0.5 + 0.01 / 2),  # a line to (0.51, 0)
        ("ultralytics", 0.49 + 0.01 / 2),  # 0 at 0.5
        ("coco", 51 / 101),  # 51 recalls of 101 are reached
        ("visdrone", 0.5),
    ],
)
def test_how_the_curve_ends(protocol, expected):
    there = truth([(0, 1, *BOX), (0, 1, *OTHER)])
    found = metrics(protocol, detections([(0, 1, 0.8, *BOX)], there), there)
    for name in ("mAP50", "mAP75", "mAP") if protocol in YOLO else ("AP50", "AP75", "AP"):
        assert found[name] == pytest.approx(expected, abs=1e-12), name


def test_precision_and_recall_at_the_best_f1():
    """Right, wrong, right of 3 objects: F1 is 2/4 after one, 4/6 after three."""
    there = truth([(0, 1, *BOX), (0, 1, *OTHER), (0, 1, 60, 5, 90, 15)])
    found = detections([(0, 1, 0.9, *BOX), (0, 1, 0.5, 0, 90, 9, 99), (0, 1, 0.3, *OTHER)], there)
    values = metrics("yolov5", found, there)
    assert (values["P"], values["R"]) == pytest.approx((2 / 3, 2 / 3), abs=1e-2)


def shifted(share):
    """BOX, moved so that its IoU with BOX is `share`."""
    step = 40 * (1 - share) / (1 + share)
    return (10 + step, 20, 50 + step, 40)


# one object that two detections want, the first with an IoU of 0.6, the second of 0.9
@pytest.mark.parametrize(
    ("protocol", "at_75"), [("yolov5", 0), ("yolov7", 0), ("yolov5-smooth", 0.5), ("ultralytics", 0.5)]
)
def test_who_gets_an_object_that_two_want(protocol, at_75):
    there = truth([(0, 1, *BOX)])
    found = metrics(protocol, detections([(0, 1, 0.9, *shifted(0.6)), (0, 1, 0.8, *shifted(0.9))], there), there)
    assert found["mAP50"] > 0.98
    assert found["mAP75"] == pytest.approx(at_75, abs=0.01)


@pytest.mark.parametrize(
    ("protocol", "recall"), [("yolov5", 0.5), ("yolov5-smooth", 0.5), ("yolov7", 0.5), ("ultralytics", 1)]
)
def test_whether_the_second_best_object_will_do(protocol, recall):
    """Two objects that overlap; both detections overlap the first most."""
    there = truth([(0, 1, 0, 0, 100, 50), (0, 1, 0, 0, 100, 60)])
    found = detections([(0, 1, 0.9, 0, 0, 100, 50), (0, 1, 0.8, 0, 0, 100, 52)], there)
    assert metrics(protocol, found, there)["R"] == pytest.approx(recall, abs=1e-3)


@pytest.mark.parametrize(("protocol", "right"), [("yolov5", True), ("yolov7", False), ("ultralytics", True)])
def test_on_the_threshold(protocol, right):
    there = truth([(0, 1, 0, 0, 100, 40)])
    found = metrics(protocol, detections([(0, 1, 0.9, 0, 0, 100, 20)], there), there)
    assert (found["mAP50"] > 0.9) == right and found["mAP75"] == 0
    found = metrics(protocol, detections([(0, 1, 0.9, 0, 0, 100, 30)], there), there)
    assert found["mAP50"] > 0.9 and (found["mAP75"] > 0.9) == right


@pytest.mark.parametrize(("protocol", "at_75"), [("yolov5", False), ("yolov7", True)])
def test_what_only_touches_the_threshold_keeps_an_object_from_the_next(protocol, at_75):
    there = truth([(0, 1, 0, 0, 100, 40)])
    found = detections([(0, 1, 0.9, 0, 0, 100, 20), (0, 1, 0.8, 0, 0, 100, 39)], there)
    assert (metrics(protocol, found, there)["mAP75"] > 0.4) == at_75


@pytest.mark.parametrize(("protocol", "right"), [("yolov5", True), ("yolov7", True), ("ultralytics", False)])
def test_whether_boxes_are_cut_at_the_edges(protocol, right):
    there = truth([(0, 1, 160, 80, 200, 120)])
    found = metrics(protocol, detections([(0, 1, 0.9, 160, 80, 220, 160)], there), there)
    assert (found["mAP50"] > 0.9) == right


def test_smoothing_moves_the_best_score():
    """A single peak of F1 at high scores against a broad one: only the raw maximum takes the peak."""
    there = truth([(0, 1, *BOX), (1, 1, *BOX), (2, 1, *BOX), (3, 1, *OTHER)], images=4)
    rows = [(i, 1, 0.95, *BOX) for i in range(3)]
    rows += [(0, 1, 0.94, 0, 0, 9, 9), (1, 1, 0.93, 0, 0, 9, 9), (3, 1, 0.92, *OTHER)]
    raw, smooth = (metrics(name, detections(rows, there), there) for name in ("yolov5", "yolov5-smooth"))
    assert raw["P"] > smooth["P"] and raw["R"] < smooth["R"]


@pytest.mark.parametrize("seed", range(3))
def test_ultralytics_is_upstreams_own(seed):
    """The same boxes through upstream's matching and curves."""
    found, there = random_set(seed)
    thresholds = torch.linspace(0.5, 0.95, 10)
    validator = type("Validator", (), {"iouv": thresholds})()
    right, order = [], []
    for image in range(len(there.images)):
        mine = np.flatnonzero(found.image == image)
        its = there.image == image
        iou = box_iou(torch.tensor(there.xyxy_px[its]), torch.tensor(found.xyxy_px[mine]))
        classes = torch.tensor(found.classes[mine]), torch.tensor(there.classes[its])
        right.append(np.asarray(BaseValidator.match_predictions(validator, *classes, iou)))
        order.append(mine)
    mine = np.concatenate(order)
    _, _, p, r, _, ap, *_ = ap_per_class(np.concatenate(right), found.scores[mine], found.classes[mine], there.classes)
    expected = {"P": p.mean(), "R": r.mean(), "mAP50": ap[:, 0].mean(), "mAP75": ap[:, 5].mean(), "mAP": ap.mean()}
    values = metrics("ultralytics", found, there)
    assert 0.02 < values["mAP"] < values["mAP50"] < 0.95
    assert values == pytest.approx(expected, abs=1e-9)


def test_no_two_programs_agree_where_detections_are_crowded():
    found, there = random_set(1)
    values = [metrics(name, found, there) for name in YOLO]
    assert len({round(one["mAP"], 6) for one in values}) == 4
    assert len({round(one["P"], 6) for one in values[:2]}) == 2


def test_they_know_neither_crowds_nor_ignored_nor_empty_boxes_nor_the_same_object_twice():
    kept = [(0, 1, *BOX), (0, 2, *OTHER)]
    there = truth([*kept, (0, 1, 60, 5, 90, 15), (0, 1, 60, 50, 90, 75), (0, 2, 5, 5, 5, 50), kept[0]])
    there = dataclasses.replace(there, crowd=np.arange(6) == 2, ignored=np.arange(6) == 3)
    plain = truth(kept)
    for protocol in YOLO:
        assert metrics(protocol, perfect(plain), there) == metrics(protocol, perfect(plain), plain)


def test_of_a_json_they_know_what_its_labels_have():
    """The part of an object within its image; one outside altogether has no label."""
    objects = [(0, 1, -80, 20, 50, 40), (0, 1, 210, 5, 230, 15), (0, 1, *OTHER)]
    beyond = truth(objects, ids=(7,), categories=(2, 4, 9))
    labelled = truth([(0, 1, 0, 20, 50, 40), objects[2]])
    found = detections([(0, 1, 0.9, 1, 20, 50, 40), (0, 1, 0.8, *OTHER)], beyond)
    for protocol in YOLO:
        assert metrics(protocol, found, beyond) == metrics(protocol, found, labelled), protocol


def test_per_class():
    there = truth([(0, 0, *BOX), (0, 2, *OTHER)])
    done = score("yolov7", detections([(0, 2, 0.8, *OTHER), (0, 1, 0.7, *BOX)], there), there)
    assert done.per_class.keys() == {"ant", "cat"}  # of which there are objects
    assert done.per_class["ant"] == {"P": 0, "R": 0, "AP50": 0, "AP75": 0, "AP": 0}
    assert done.per_class["cat"]["AP"] == pytest.approx(1) and done.metrics["mAP"] == pytest.approx(0.5)
