"""Protocol `visdrone`, by hand and compared with loops that follow the toolkit line by line."""

import dataclasses

import numpy as np
import pytest

from akyolo.scoring.protocols import score
from tests.helpers.small_sets import make_detections, make_ground_truth, random_set

BOX, OTHER = (10, 20, 50, 40), (100, 60, 180, 110)


def metrics(detections, ground_truth):
    return score("visdrone", detections, ground_truth).metrics


def with_regions(ground_truth, *regions):
    rows = np.array(regions, float).reshape(-1, 5)
    return dataclasses.replace(ground_truth, region_image=rows[:, 0].astype(int), region_xyxy_px=rows[:, 1:])


def overlap(box, other, ignored):
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    area, its = ((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (box, other))
    return width * height / (area if ignored else area + its - width * height)


def matched(detections, ground_truth, mine, its, threshold):
    """Yield (score, state) of the detections of one image and class: 1 right, 0 wrong, -1 in an ignored object."""
    taken = set()
    for detection in mine:
        best, choice, state = threshold, None, 0
        for other in its[np.argsort(ground_truth.ignored[its], kind="stable")]:
            ignored = ground_truth.ignored[other]
            if other in taken:
                continue
            if state != 0 and ignored:
                break
            share = overlap(detections.xyxy_px[detection].astype(float), ground_truth.xyxy_px[other], ignored)
            if share >= best:
                best, choice, state = share, other, -1 if ignored else 1
        if state == 1:
            taken.add(choice)
        yield detections.scores[detection], state


def curves(detections, ground_truth, class_id, threshold, most):
    """Recall and precision, detection by detection."""
    results, count = [], 0
    for image in range(len(ground_truth.images)):
        mine = np.flatnonzero(detections.image == image)
        mine = mine[np.argsort(-detections.scores[mine], kind="stable")][:most]
        its = np.flatnonzero((ground_truth.image == image) & (ground_truth.classes == class_id))
        count += len(its)
        results += matched(detections, ground_truth, mine[detections.classes[mine] == class_id], its, threshold)
    states = np.array([state for _, state in sorted(results, key=lambda row: -row[0])])
    hits, misses = np.cumsum(states == 1), np.cumsum(states == 0)
    return hits / max(1, count), hits / np.maximum(1, hits + misses)


def area(recall, precision):
    recall, precision = np.concatenate(([0], recall, [1])), np.concatenate(([0], precision, [0]))
    for place in range(len(precision) - 2, -1, -1):
        precision[place] = max(precision[place], precision[place + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


def by_loops(detections, ground_truth):
    """By class: AP by threshold, and AR by max_det and threshold; without regions."""
    thresholds, limits = 0.5 + 0.05 * np.arange(10), (1, 10, 100, 500)
    for class_id in np.unique(ground_truth.classes):
        ap = np.array([area(*curves(detections, ground_truth, class_id, threshold, 500)) for threshold in thresholds])
        ar = [
            [curves(detections, ground_truth, class_id, threshold, most)[0].max(initial=0) for threshold in thresholds]
            for most in limits
        ]
        yield ground_truth.names[class_id], (ap, np.array(ar))


@pytest.mark.parametrize("seed", range(4))
def test_against_the_toolkits_loops(seed):
    detections, ground_truth = random_set(seed)
    ignored = np.random.default_rng(seed).random(len(ground_truth.image)) < 0.2
    ground_truth = dataclasses.replace(
        ground_truth, ignored=ignored, xyxy_px=ground_truth.xyxy_px.clip(0, (200, 120) * 2)
    )
    detections = dataclasses.replace(detections, xyxy_px=detections.xyxy_px.clip(0, (200, 120) * 2))
    expected, done = dict(by_loops(detections, ground_truth)), score("visdrone", detections, ground_truth)
    images = [
        len(np.unique(ground_truth.image[ground_truth.classes == ground_truth.names.index(name)])) for name in expected
    ]
    assert len(set(images)) > 1  # so that the two means differ
    for name, (ap, ar) in expected.items():
        values = {"AP": ap.mean(), "AP50": ap[0], "AP75": ap[5]}
        values |= {f"AR{most}": ar[place].mean() for place, most in enumerate((1, 10, 100, 500))}
        assert done.per_class[name] == pytest.approx(values, abs=1e-12)
    for metric in ("AP", "AP50", "AP75", "AR1", "AR10", "AR100", "AR500"):
        column = [values[metric] for values in done.per_class.values()]
        assert done.metrics[metric] == pytest.approx(np.average(column, weights=images))
        assert done.metrics[f"{metric}_plain"] == pytest.approx(np.mean(column))


def test_half_in_a_region_is_out_on_both_sides():
    """The region covers 20 of the first object's 40 columns, or 19: what is found there, or not, does not count."""
    objects = [(0, 1, *BOX), (0, 1, *OTHER)]
    wrong = (0, 1, 0.9, 10, 20, 30, 40)  # all in the region
    ground_truth = make_ground_truth(objects)
    kept = [(0, 1, 0.8, *OTHER)]
    mostly, hardly = (with_regions(ground_truth, (0, 1, 1, right, 119)) for right in (30, 29))
    assert metrics(make_detections([wrong, *kept], ground_truth), mostly)["AP50"] == 1
    assert metrics(make_detections([(0, 1, 0.7, *BOX), *kept], ground_truth), mostly)["AP50"] == 1
    missed = metrics(make_detections(kept, ground_truth), hardly)
    assert missed["AP50"] == missed["AR500"] == 0.5


def test_regions_are_those_of_their_image():
    ground_truth = make_ground_truth([(0, 1, *BOX), (1, 1, *BOX)], images=2)
    detections = make_detections([(0, 1, 0.9, *BOX), (1, 1, 0.8, *BOX)], ground_truth)
    wrong = make_detections([(0, 1, 0.9, *OTHER), (1, 1, 0.8, *BOX)], ground_truth)
    ground_truth = with_regions(ground_truth, (0, 0, 0, 199, 119))
    assert metrics(detections, ground_truth)["AP"] == metrics(wrong, ground_truth)["AP"] == 1


def test_rows_and_columns_of_a_region():
    """Wide and flat: it covers one object and not the other, whose x and y are swapped."""
    ground_truth = with_regions(
        make_ground_truth([(0, 1, 100, 10, 140, 20), (0, 1, 10, 80, 20, 118)]), (0, 60, 1, 190, 30)
    )
    assert metrics(make_detections([(0, 1, 0.9, 10, 80, 20, 118)], ground_truth), ground_truth)["AP50"] == 1
    assert metrics(make_detections([(0, 1, 0.9, 100, 10, 140, 20)], ground_truth), ground_truth)["AP50"] == 0


def test_only_the_best_500_of_an_image_count():
    ground_truth = make_ground_truth([(0, 1, *BOX)])
    others = [(0, 2, 0.9, 0, 0, 5, 5)] * 499
    last, behind = (
        make_detections([*others, (0, 1, 0.1, *BOX)], ground_truth),
        make_detections([*others, (0, 2, 0.2, 0, 0, 5, 5), (0, 1, 0.1, *BOX)], ground_truth),
    )
    assert metrics(last, ground_truth)["AR500"] == 1 and metrics(last, ground_truth)["AR100"] == 0
    assert metrics(behind, ground_truth)["AR500"] == metrics(behind, ground_truth)["AP"] == 0


def test_a_detection_in_an_ignored_object_counts_neither_way():
    ground_truth = make_ground_truth([(0, 1, *OTHER), (0, 1, *BOX)])
    ground_truth = dataclasses.replace(ground_truth, ignored=np.array([False, True]))
    inside = (0, 1, 0.9, 12, 22, 20, 30)  # small, but wholly in it
    detections = make_detections([inside, inside, (0, 1, 0.5, *OTHER)], ground_truth)
    assert metrics(detections, ground_truth)["AP50"] == 0.5  # not 1, as the toolkit counts the ignored object
    away = make_detections([(0, 1, 0.9, 60, 5, 70, 15), (0, 1, 0.5, *OTHER)], ground_truth)
    assert metrics(away, ground_truth)["AP50"] == 0.25
