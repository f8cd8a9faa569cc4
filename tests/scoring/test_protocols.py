"""Properties of every protocol, on random detections."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from akyolo.errors import ConfigError, DatasetError
from akyolo.scoring.matching import find_pairs, match_best_free
from akyolo.scoring.protocols import PROTOCOLS, headline, score
from akyolo.scoring.score import Score, table
from tests.helpers.small_sets import make_detections, make_ground_truth, perfect, random_set

SEEDS = st.integers(0, 10_000)


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_perfect_detections_score_one(seed):
    """But for the last of 101 recalls, at which some of the curves have fallen already."""
    _, ground_truth = random_set(seed)
    for protocol in PROTOCOLS:
        done = score(protocol, perfect(ground_truth), ground_truth)
        values = [v for name, v in done.metrics.items() if v is not None and not name.startswith("AR")]
        assert len(values) >= 5 and min(values) >= 0.995 - 1e-9 and max(values) <= 1 + 1e-9, protocol
        assert done.per_class.keys() == {ground_truth.names[kind] for kind in ground_truth.classes}


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.randoms(use_true_random=False))
def test_the_order_of_images_objects_and_detections_does_not_matter(seed, random):
    detections, ground_truth = random_set(seed)
    new = random.sample(range(len(ground_truth.images)), len(ground_truth.images))
    old = np.argsort(new)  # image i becomes image old[i]
    objects = np.array(random.sample(range(len(ground_truth.image)), len(ground_truth.image)), int)
    rows = np.array(random.sample(range(len(detections)), len(detections)), int)
    images = tuple(ground_truth.images[index] for index in new)
    moved_truth = dataclasses.replace(
        ground_truth,
        images=images,
        image=old[ground_truth.image][objects],
        **{name: getattr(ground_truth, name)[objects] for name in ("xyxy_px", "classes", "area", "crowd", "ignored")},
    )
    moved = dataclasses.replace(
        detections,
        images=images,
        image=old[detections.image][rows],
        **{name: getattr(detections, name)[rows] for name in ("xyxy_px", "classes", "scores")},
    )
    for protocol in PROTOCOLS:
        expected, moved_score = score(protocol, detections, ground_truth), score(protocol, moved, moved_truth)
        assert expected.metrics == pytest.approx(moved_score.metrics, abs=1e-12), protocol


def test_two_classes_of_one_name_are_refused():
    """Metrics by class would overwrite each other."""
    detections, ground_truth = (dataclasses.replace(values, names=("ant", "bee", "ant")) for values in random_set(1))
    for protocol in PROTOCOLS:
        with pytest.raises(DatasetError, match="two of the classes ant, bee, ant have one name"):
            score(protocol, detections, ground_truth)


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_x_and_y_are_told_apart(seed):
    """Detections with x and y swapped, in images that are not square, find next to nothing."""
    _, ground_truth = random_set(seed)
    detections = perfect(ground_truth)
    swapped = dataclasses.replace(detections, xyxy_px=detections.xyxy_px[:, [1, 0, 3, 2]])
    for protocol in PROTOCOLS:
        assert score(protocol, swapped, ground_truth).metrics[headline(protocol)[1]] < 0.6, protocol


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_deferred_acceptance_equals_greedy_matching(seed):
    random = np.random.default_rng(seed)
    groups, object_groups = random.integers(0, 4, 40), random.integers(0, 4, 25)
    boxes, objects = (
        np.column_stack((corner, corner + random.integers(5, 40, (len(corner), 2)))).astype(float)
        for corner in (random.integers(0, 30, (40, 2)), random.integers(0, 30, (25, 2)))
    )
    pairs = find_pairs(groups, boxes, object_groups, objects, 0.3)
    taken, matched = set(), []
    for detection in range(40):
        mine = np.flatnonzero(pairs.detection == detection)
        free = [place for place in mine if pairs.object[place] not in taken]
        assert all(np.diff(pairs.iou[mine]) <= 0)
        if free:
            taken.add(pairs.object[free[0]])
            matched.append(detection)
    assert sorted(match_best_free(pairs)) == matched


def test_pairs_in_parts(monkeypatch):
    detections, ground_truth = random_set(4)
    whole = find_pairs(detections.image, detections.xyxy_px, ground_truth.image, ground_truth.xyxy_px, 0.1)
    monkeypatch.setattr("akyolo.scoring.matching.PAIRS_AT_ONCE", 7)
    parts = find_pairs(detections.image, detections.xyxy_px, ground_truth.image, ground_truth.xyxy_px, 0.1)
    assert len(whole.iou) > 20
    for name in ("detection", "object", "iou"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_detection_at_all(protocol):
    ground_truth = make_ground_truth([(0, 1, 10, 20, 50, 40)])
    done = score(protocol, make_detections([], ground_truth), ground_truth)
    assert {value for value in done.metrics.values() if value is not None} == {0.0}
    assert done.metrics[headline(protocol)[0]] == done.metrics[headline(protocol)[1]] == 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_score_has_the_conditions_of_its_measurement(protocol):
    detections, ground_truth = random_set(3)
    done = score(protocol, detections, ground_truth)
    assert (done.protocol, done.nms_iou, done.max_det, done.images) == (protocol, 0.65, 300, 12)
    assert done.labels_sha256 == ground_truth.sha256
    about, numbers = table([done]).splitlines()
    assert about == f"{protocol:<14} NMS IoU 0.65  max_det 300  labels {'ab' * 6}  12 images"
    assert f"{headline(protocol)[1]} {done.metrics[headline(protocol)[1]]:.3f}" in numbers
    assert all(0 <= value <= 1 for value in done.metrics.values() if value is not None)


def test_unknown_conditions_are_printed_as_a_dash():
    line = table([Score("coco", None, None, "cd" * 32, 1, {"AP": 0.5, "APS": None}, {})])
    assert "NMS IoU -  max_det -" in line and "AP 0.500  APS -" in line


def test_an_unknown_protocol():
    detections, ground_truth = random_set(3)
    with pytest.raises(ConfigError, match=r"(?s)no protocol 'yolo5'.*did you mean 'yolov5'"):
        score("yolo5", detections, ground_truth)


NOTHING = {
    "crowd": {"crowd": np.array([True])},
    "empty box": {"xyxy_px": np.array([[10.0, 20, 10, 40]])},
    "in a region": {"region_xyxy_px": np.array([[0.0, 0, 200, 120]]), "region_image": np.array([0])},
    "ignored": {"ignored": np.array([True])},
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("case", NOTHING)
@pytest.mark.filterwarnings("error")
def test_nothing_to_find_is_an_error(case, protocol):
    counted = {"empty box": {"coco", "visdrone"}, "in a region": {*PROTOCOLS} - {"visdrone"}}
    ground_truth = dataclasses.replace(make_ground_truth([(0, 1, 10, 20, 50, 40)]), **NOTHING[case])
    if protocol in counted.get(case, set()):  # where this is an object like any other
        assert score(protocol, make_detections([], ground_truth), ground_truth).metrics[headline(protocol)[0]] == 0
        return
    with pytest.raises(DatasetError, match=f"none of the 1 images has an object to find under protocol {protocol}"):
        score(protocol, make_detections([], ground_truth), ground_truth)
