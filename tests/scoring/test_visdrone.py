"""VisDrone's rules, by hand and against loops that follow the toolkit's text line by line."""

import dataclasses

import numpy as np
import pytest

from akyolo.scoring.protocols import score
from tests.helpers.small_sets import detections, random_set, truth

BOX, OTHER = (10, 20, 50, 40), (100, 60, 180, 110)


def metrics(found, there):
    return score("visdrone", found, there).metrics


def with_regions(there, *regions):
    rows = np.array(regions, float).reshape(-1, 5)
    return dataclasses.replace(there, region_image=rows[:, 0].astype(int), region_xyxy_px=rows[:, 1:])


def overlap(one, other, ignored):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    area, its = ((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (area if ignored else area + its - width * height)


def matched(found, there, mine, its, threshold):
    """(score, state) of the detections of one image and class: 1 right, 0 wrong, -1 in an ignored object."""
    taken = set()
    for one in mine:
        best, choice, state = threshold, None, 0
        for other in its[np.argsort(there.ignored[its], kind="stable")]:
            ignored = there.ignored[other]
            if other in taken:
                continue
            if state != 0 and ignored:
                break
            share = overlap(found.xyxy_px[one].astype(float), there.xyxy_px[other], ignored)
            if share >= best:
                best, choice, state = share, other, -1 if ignored else 1
        if state == 1:
            taken.add(choice)
        yield found.scores[one], state


def curves(found, there, kind, threshold, budget):
    """Recall and precision, detection by detection."""
    results, count = [], 0
    for image in range(len(there.images)):
        mine = np.flatnonzero(found.image == image)
        mine = mine[np.argsort(-found.scores[mine], kind="stable")][:budget]
        its = np.flatnonzero((there.image == image) & (there.classes == kind))
        count += len(its)
        results += matched(found, there, mine[found.classes[mine] == kind], its, threshold)
    states = np.array([state for _, state in sorted(results, key=lambda row: -row[0])])
    hits, misses = np.cumsum(states == 1), np.cumsum(states == 0)
    return hits / max(1, count), hits / np.maximum(1, hits + misses)


def area(recall, precision):
    recall, precision = np.concatenate(([0], recall, [1])), np.concatenate(([0], precision, [0]))
    for place in range(len(precision) - 2, -1, -1):
        precision[place] = max(precision[place], precision[place + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


def by_loops(found, there):
    """By class: AP by threshold, and AR by budget and threshold; without regions."""
    thresholds, budgets = 0.5 + 0.05 * np.arange(10), (1, 10, 100, 500)
    for kind in np.unique(there.classes):
        ap = np.array([area(*curves(found, there, kind, threshold, 500)) for threshold in thresholds])
        ar = [[curves(found, there, kind, one, most)[0].max(initial=0) for one in thresholds] for most in budgets]
        yield there.names[kind], (ap, np.array(ar))


@pytest.mark.parametrize("seed", range(4))
def test_against_the_toolkits_loops(seed):
    found, there = random_set(seed)
    ignored = np.random.default_rng(seed).random(len(there.image)) < 0.2
    there = dataclasses.replace(there, ignored=ignored, xyxy_px=there.xyxy_px.clip(0, (200, 120) * 2))
    found = dataclasses.replace(found, xyxy_px=found.xyxy_px.clip(0, (200, 120) * 2))
    expected, done = dict(by_loops(found, there)), score("visdrone", found, there)
    images = [len(np.unique(there.image[there.classes == there.names.index(name)])) for name in expected]
    assert len(set(images)) > 1  # so that the two means differ
    for name, (ap, ar) in expected.items():
        values = {"AP": ap.mean(), "AP50": ap[0], "AP75": ap[5]}
        values |= {f"AR{budget}": ar[place].mean() for place, budget in enumerate((1, 10, 100, 500))}
        assert done.per_class[name] == pytest.approx(values, abs=1e-12)
    for metric in ("AP", "AP50", "AP75", "AR1", "AR10", "AR100", "AR500"):
        column = [values[metric] for values in done.per_class.values()]
        assert done.metrics[metric] == pytest.approx(np.average(column, weights=images))
        assert done.metrics[f"{metric}_plain"] == pytest.approx(np.mean(column))


def test_half_in_a_region_is_out_on_both_sides():
    """The region covers 20 of the first object's 40 columns, or 19: what is found there, or not, does not count."""
    objects = [(0, 1, *BOX), (0, 1, *OTHER)]
    wrong = (0, 1, 0.9, 10, 20, 30, 40)  # all in the region
    there = truth(objects)
    kept = [(0, 1, 0.8, *OTHER)]
    mostly, hardly = (with_regions(there, (0, 1, 1, right, 119)) for right in (30, 29))
    assert metrics(detections([wrong, *kept], there), mostly)["AP50"] == 1
    assert metrics(detections([(0, 1, 0.7, *BOX), *kept], there), mostly)["AP50"] == 1
    missed = metrics(detections(kept, there), hardly)
    assert missed["AP50"] == missed["AR500"] == 0.5


def test_regions_are_those_of_their_image():
    there = truth([(0, 1, *BOX), (1, 1, *BOX)], images=2)
    found = detections([(0, 1, 0.9, *BOX), (1, 1, 0.8, *BOX)], there)
    wrong = detections([(0, 1, 0.9, *OTHER), (1, 1, 0.8, *BOX)], there)
    there = with_regions(there, (0, 0, 0, 199, 119))
    assert metrics(found, there)["AP"] == metrics(wrong, there)["AP"] == 1


def test_rows_and_columns_of_a_region():
    """Wide and flat: it covers one object and not the other, whose x and y are swapped."""
    there = with_regions(truth([(0, 1, 100, 10, 140, 20), (0, 1, 10, 80, 20, 118)]), (0, 60, 1, 190, 30))
    assert metrics(detections([(0, 1, 0.9, 10, 80, 20, 118)], there), there)["AP50"] == 1
    assert metrics(detections([(0, 1, 0.9, 100, 10, 140, 20)], there), there)["AP50"] == 0


def test_only_the_best_500_of_an_image_count():
    there = truth([(0, 1, *BOX)])
    others = [(0, 2, 0.9, 0, 0, 5, 5)] * 499
    last, behind = (
        detections([*others, (0, 1, 0.1, *BOX)], there),
        detections([*others, (0, 2, 0.2, 0, 0, 5, 5), (0, 1, 0.1, *BOX)], there),
    )
    assert metrics(last, there)["AR500"] == 1 and metrics(last, there)["AR100"] == 0
    assert metrics(behind, there)["AR500"] == metrics(behind, there)["AP"] == 0


def test_what_lies_in_an_ignored_object_counts_neither_way():
    there = truth([(0, 1, *OTHER), (0, 1, *BOX)])
    there = dataclasses.replace(there, ignored=np.array([False, True]))
    inside = (0, 1, 0.9, 12, 22, 20, 30)  # small, but wholly in it
    found = detections([inside, inside, (0, 1, 0.5, *OTHER)], there)
    assert metrics(found, there)["AP50"] == 0.5  # not 1, as the toolkit counts the ignored object
    away = detections([(0, 1, 0.9, 60, 5, 70, 15), (0, 1, 0.5, *OTHER)], there)
    assert metrics(away, there)["AP50"] == 0.25
