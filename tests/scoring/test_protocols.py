"""What holds under each protocol, whatever the detections."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from akyolo.errors import ConfigError, DatasetError
from akyolo.scoring.matching import best_free, find_pairs
from akyolo.scoring.protocols import PROTOCOLS, headline, score
from akyolo.scoring.score import Score, table
from tests.helpers.small_sets import detections, perfect, random_set, truth

SEEDS = st.integers(0, 10_000)


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_perfect_detections_score_one(seed):
    """But for the last of 101 recalls, at which some of the curves have fallen already."""
    _, there = random_set(seed)
    for protocol in PROTOCOLS:
        done = score(protocol, perfect(there), there)
        values = [v for name, v in done.metrics.items() if v is not None and not name.startswith("AR")]
        assert len(values) >= 5 and min(values) >= 0.995 - 1e-9 and max(values) <= 1 + 1e-9, protocol
        assert done.per_class.keys() == {there.names[kind] for kind in there.classes}


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.randoms(use_true_random=False))
def test_the_order_of_images_objects_and_detections_does_not_matter(seed, random):
    found, there = random_set(seed)
    new = random.sample(range(len(there.images)), len(there.images))
    old = np.argsort(new)  # image i becomes image old[i]
    objects = np.array(random.sample(range(len(there.image)), len(there.image)), int)
    rows = np.array(random.sample(range(len(found)), len(found)), int)
    images = tuple(there.images[index] for index in new)
    moved_truth = dataclasses.replace(
        there,
        images=images,
        image=old[there.image][objects],
        **{name: getattr(there, name)[objects] for name in ("xyxy_px", "classes", "area", "crowd", "ignored")},
    )
    moved = dataclasses.replace(
        found,
        images=images,
        image=old[found.image][rows],
        **{name: getattr(found, name)[rows] for name in ("xyxy_px", "classes", "scores")},
    )
    for protocol in PROTOCOLS:
        one, other = score(protocol, found, there), score(protocol, moved, moved_truth)
        assert one.metrics == pytest.approx(other.metrics, abs=1e-12), protocol


def test_two_classes_of_one_name_are_refused():
    """By class, one would stand in the place of the other."""
    found, there = (dataclasses.replace(one, names=("ant", "bee", "ant")) for one in random_set(1))
    for protocol in PROTOCOLS:
        with pytest.raises(DatasetError, match="two of the classes ant, bee, ant have one name"):
            score(protocol, found, there)


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_x_and_y_are_told_apart(seed):
    """Detections with x and y swapped, in images that are not square, find next to nothing."""
    _, there = random_set(seed)
    found = perfect(there)
    swapped = dataclasses.replace(found, xyxy_px=found.xyxy_px[:, [1, 0, 3, 2]])
    for protocol in PROTOCOLS:
        assert score(protocol, swapped, there).metrics[headline(protocol)[1]] < 0.6, protocol


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_asking_all_at_once_is_asking_one_after_the_other(seed):
    random = np.random.default_rng(seed)
    groups, truth_groups = random.integers(0, 4, 40), random.integers(0, 4, 25)
    boxes, objects = (
        np.column_stack((corner, corner + random.integers(5, 40, (len(corner), 2)))).astype(float)
        for corner in (random.integers(0, 30, (40, 2)), random.integers(0, 30, (25, 2)))
    )
    pairs = find_pairs(groups, boxes, truth_groups, objects, 0.3)
    taken, served = set(), []
    for detection in range(40):
        mine = np.flatnonzero(pairs.detection == detection)
        free = [place for place in mine if pairs.truth[place] not in taken]
        assert all(np.diff(pairs.iou[mine]) <= 0)
        if free:
            taken.add(pairs.truth[free[0]])
            served.append(detection)
    assert sorted(best_free(pairs)) == served


def test_pairs_in_parts(monkeypatch):
    found, there = random_set(4)
    whole = find_pairs(found.image, found.xyxy_px, there.image, there.xyxy_px, 0.1)
    monkeypatch.setattr("akyolo.scoring.matching.LARGEST", 7)
    parts = find_pairs(found.image, found.xyxy_px, there.image, there.xyxy_px, 0.1)
    assert len(whole.iou) > 20
    for name in ("detection", "truth", "iou"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_detection_at_all(protocol):
    there = truth([(0, 1, 10, 20, 50, 40)])
    done = score(protocol, detections([], there), there)
    assert {value for value in done.metrics.values() if value is not None} == {0.0}
    assert done.metrics[headline(protocol)[0]] == done.metrics[headline(protocol)[1]] == 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_number_stands_beside_what_it_was_measured_with(protocol):
    found, there = random_set(3)
    done = score(protocol, found, there)
    assert (done.protocol, done.nms_iou, done.max_det, done.images) == (protocol, 0.65, 300, 12)
    assert done.labels_sha256 == there.sha256
    about, numbers = table([done]).splitlines()
    assert about == f"{protocol:<14} NMS IoU 0.65  max_det 300  labels {'ab' * 6}  12 images"
    assert f"{headline(protocol)[1]} {done.metrics[headline(protocol)[1]]:.3f}" in numbers
    assert all(0 <= value <= 1 for value in done.metrics.values() if value is not None)


def test_what_is_not_known_is_not_made_up():
    line = table([Score("coco", None, None, "cd" * 32, 1, {"AP": 0.5, "APS": None}, {})])
    assert "NMS IoU -  max_det -" in line and "AP 0.500  APS -" in line


def test_an_unknown_protocol():
    found, there = random_set(3)
    with pytest.raises(ConfigError, match=r"(?s)no protocol 'yolo5'.*did you mean 'yolov5'"):
        score("yolo5", found, there)


NOTHING = {
    "crowd": {"crowd": np.array([True])},
    "empty box": {"xyxy_px": np.array([[10.0, 20, 10, 40]])},
    "in a region": {"region_xyxy_px": np.array([[0.0, 0, 200, 120]]), "region_image": np.array([0])},
    "ignored": {"ignored": np.array([True])},
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", NOTHING)
@pytest.mark.filterwarnings("error")
def test_nothing_to_find_is_an_error(kind, protocol):
    known = {"empty box": {"coco", "visdrone"}, "in a region": {*PROTOCOLS} - {"visdrone"}}
    there = dataclasses.replace(truth([(0, 1, 10, 20, 50, 40)]), **NOTHING[kind])
    if protocol in known.get(kind, set()):  # where this is an object like any other
        assert score(protocol, detections([], there), there).metrics[headline(protocol)[0]] == 0
        return
    with pytest.raises(DatasetError, match=f"none of the 1 images has an object to find under protocol {protocol}"):
        score(protocol, detections([], there), there)
