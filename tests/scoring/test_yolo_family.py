"""The differences between the protocols of the YOLO family, in numbers that can be checked by hand."""

import dataclasses

import numpy as np
import pytest
import torch
from ultralytics.engine.validator import BaseValidator
from ultralytics.utils.metrics import ap_per_class, box_iou

from akyolo.scoring.protocols import score
from tests.helpers.small_sets import make_detections, make_ground_truth, perfect, random_set

YOLO = ("yolov5", "yolov5-smooth", "yolov7", "ultralytics")
BOX, OTHER = (10, 20, 50, 40), (100, 60, 180, 110)


def metrics(protocol, detections, ground_truth):
    return score(protocol, detections, ground_truth).metrics


# Two objects, one correct detection: the hull is 1 up to recall 0.5, and then
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
    ground_truth = make_ground_truth([(0, 1, *BOX), (0, 1, *OTHER)])
    values = metrics(protocol, make_detections([(0, 1, 0.8, *BOX)], ground_truth), ground_truth)
    for name in ("mAP50", "mAP75", "mAP") if protocol in YOLO else ("AP50", "AP75", "AP"):
        assert values[name] == pytest.approx(expected, abs=1e-12), name


def test_precision_and_recall_at_the_best_f1():
    """Right, wrong, right of 3 objects: F1 is 2/4 after one, 4/6 after three."""
    ground_truth = make_ground_truth([(0, 1, *BOX), (0, 1, *OTHER), (0, 1, 60, 5, 90, 15)])
    detections = make_detections([(0, 1, 0.9, *BOX), (0, 1, 0.5, 0, 90, 9, 99), (0, 1, 0.3, *OTHER)], ground_truth)
    values = metrics("yolov5", detections, ground_truth)
    assert (values["P"], values["R"]) == pytest.approx((2 / 3, 2 / 3), abs=1e-2)


def shifted(share):
    """BOX, moved so that its IoU with BOX is `share`."""
    step = 40 * (1 - share) / (1 + share)
    return (10 + step, 20, 50 + step, 40)


# One object that two detections prefer, the first with an IoU of 0.6, the second of 0.9.
@pytest.mark.parametrize(
    ("protocol", "at_75"), [("yolov5", 0), ("yolov7", 0), ("yolov5-smooth", 0.5), ("ultralytics", 0.5)]
)
def test_an_object_that_two_detections_prefer(protocol, at_75):
    ground_truth = make_ground_truth([(0, 1, *BOX)])
    values = metrics(
        protocol, make_detections([(0, 1, 0.9, *shifted(0.6)), (0, 1, 0.8, *shifted(0.9))], ground_truth), ground_truth
    )
    assert values["mAP50"] > 0.98
    assert values["mAP75"] == pytest.approx(at_75, abs=0.01)


@pytest.mark.parametrize(
    ("protocol", "recall"), [("yolov5", 0.5), ("yolov5-smooth", 0.5), ("yolov7", 0.5), ("ultralytics", 1)]
)
def test_whether_a_detection_takes_its_second_preference(protocol, recall):
    """Two objects that overlap; both detections overlap the first most."""
    ground_truth = make_ground_truth([(0, 1, 0, 0, 100, 50), (0, 1, 0, 0, 100, 60)])
    detections = make_detections([(0, 1, 0.9, 0, 0, 100, 50), (0, 1, 0.8, 0, 0, 100, 52)], ground_truth)
    assert metrics(protocol, detections, ground_truth)["R"] == pytest.approx(recall, abs=1e-3)


@pytest.mark.parametrize(("protocol", "right"), [("yolov5", True), ("yolov7", False), ("ultralytics", True)])
def test_on_the_threshold(protocol, right):
    ground_truth = make_ground_truth([(0, 1, 0, 0, 100, 40)])
    values = metrics(protocol, make_detections([(0, 1, 0.9, 0, 0, 100, 20)], ground_truth), ground_truth)
    assert (values["mAP50"] > 0.9) == right and values["mAP75"] == 0
    values = metrics(protocol, make_detections([(0, 1, 0.9, 0, 0, 100, 30)], ground_truth), ground_truth)
    assert values["mAP50"] > 0.9 and (values["mAP75"] > 0.9) == right


@pytest.mark.parametrize(("protocol", "at_75"), [("yolov5", False), ("yolov7", True)])
def test_whether_an_iou_equal_to_the_threshold_is_a_match(protocol, at_75):
    ground_truth = make_ground_truth([(0, 1, 0, 0, 100, 40)])
    detections = make_detections([(0, 1, 0.9, 0, 0, 100, 20), (0, 1, 0.8, 0, 0, 100, 39)], ground_truth)
    assert (metrics(protocol, detections, ground_truth)["mAP75"] > 0.4) == at_75


@pytest.mark.parametrize(("protocol", "right"), [("yolov5", True), ("yolov7", True), ("ultralytics", False)])
def test_whether_boxes_are_clipped(protocol, right):
    ground_truth = make_ground_truth([(0, 1, 160, 80, 200, 120)])
    values = metrics(protocol, make_detections([(0, 1, 0.9, 160, 80, 220, 160)], ground_truth), ground_truth)
    assert (values["mAP50"] > 0.9) == right


def test_smoothing_moves_the_best_score():
    """A single peak of F1 at high scores against a broad one: only the raw maximum takes the peak."""
    ground_truth = make_ground_truth([(0, 1, *BOX), (1, 1, *BOX), (2, 1, *BOX), (3, 1, *OTHER)], images=4)
    rows = [(i, 1, 0.95, *BOX) for i in range(3)]
    rows += [(0, 1, 0.94, 0, 0, 9, 9), (1, 1, 0.93, 0, 0, 9, 9), (3, 1, 0.92, *OTHER)]
    raw, smooth = (
        metrics(name, make_detections(rows, ground_truth), ground_truth) for name in ("yolov5", "yolov5-smooth")
    )
    assert raw["P"] > smooth["P"] and raw["R"] < smooth["R"]


@pytest.mark.parametrize("seed", range(3))
def test_ultralytics_equals_upstream(seed):
    """The same boxes through upstream's matching and curves."""
    detections, ground_truth = random_set(seed)
    thresholds = torch.linspace(0.5, 0.95, 10)
    validator = type("Validator", (), {"iouv": thresholds})()
    right, order = [], []
    for image in range(len(ground_truth.images)):
        mine = np.flatnonzero(detections.image == image)
        its = ground_truth.image == image
        iou = box_iou(torch.tensor(ground_truth.xyxy_px[its]), torch.tensor(detections.xyxy_px[mine]))
        classes = torch.tensor(detections.classes[mine]), torch.tensor(ground_truth.classes[its])
        right.append(np.asarray(BaseValidator.match_predictions(validator, *classes, iou)))
        order.append(mine)
    mine = np.concatenate(order)
    _, _, p, r, _, ap, *_ = ap_per_class(
        np.concatenate(right), detections.scores[mine], detections.classes[mine], ground_truth.classes
    )
    expected = {"P": p.mean(), "R": r.mean(), "mAP50": ap[:, 0].mean(), "mAP75": ap[:, 5].mean(), "mAP": ap.mean()}
    values = metrics("ultralytics", detections, ground_truth)
    assert 0.02 < values["mAP"] < values["mAP50"] < 0.95
    assert values == pytest.approx(expected, abs=1e-9)


def test_the_protocols_differ_on_crowded_detections():
    detections, ground_truth = random_set(1)
    values = [metrics(name, detections, ground_truth) for name in YOLO]
    assert len({round(metric["mAP"], 6) for metric in values}) == 4
    assert len({round(metric["P"], 6) for metric in values[:2]}) == 2


def test_crowds_ignored_objects_empty_boxes_and_duplicates_do_not_count():
    kept = [(0, 1, *BOX), (0, 2, *OTHER)]
    ground_truth = make_ground_truth(
        [*kept, (0, 1, 60, 5, 90, 15), (0, 1, 60, 50, 90, 75), (0, 2, 5, 5, 5, 50), kept[0]]
    )
    ground_truth = dataclasses.replace(ground_truth, crowd=np.arange(6) == 2, ignored=np.arange(6) == 3)
    plain = make_ground_truth(kept)
    for protocol in YOLO:
        assert metrics(protocol, perfect(plain), ground_truth) == metrics(protocol, perfect(plain), plain)


def test_objects_of_a_json_are_clipped_to_their_image():
    """An object outside the image is dropped, as in label files."""
    objects = [(0, 1, -80, 20, 50, 40), (0, 1, 210, 5, 230, 15), (0, 1, *OTHER)]
    beyond = make_ground_truth(objects, ids=(7,), categories=(2, 4, 9))
    labelled = make_ground_truth([(0, 1, 0, 20, 50, 40), objects[2]])
    detections = make_detections([(0, 1, 0.9, 1, 20, 50, 40), (0, 1, 0.8, *OTHER)], beyond)
    for protocol in YOLO:
        assert metrics(protocol, detections, beyond) == metrics(protocol, detections, labelled), protocol


def test_per_class():
    ground_truth = make_ground_truth([(0, 0, *BOX), (0, 2, *OTHER)])
    done = score("yolov7", make_detections([(0, 2, 0.8, *OTHER), (0, 1, 0.7, *BOX)], ground_truth), ground_truth)
    assert done.per_class.keys() == {"ant", "cat"}  # of which there are objects
    assert done.per_class["ant"] == {"P": 0, "R": 0, "AP50": 0, "AP75": 0, "AP": 0}
    assert done.per_class["cat"]["AP"] == pytest.approx(1) and done.metrics["mAP"] == pytest.approx(0.5)
