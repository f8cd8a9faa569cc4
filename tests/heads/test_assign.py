"""The assignment, against scalar loops that follow the rules word by word."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from akyolo.heads import assign
from akyolo.heads.assign import Positives, match_by_ratio, match_ota
from tests.helpers.small_batches import ANCHORS, CLASSES, IMAGES, SIZES, STRIDES, some_raw, some_targets


def by_loops(targets, anchor_t):
    """YOLOv5's rule for one target, one anchor, one cell at a time."""
    levels = []
    for (ny, nx), anchors in zip(SIZES, ANCHORS.tolist(), strict=True):
        matches, scale = [], torch.tensor([1, 1, nx, ny, nx, ny])
        for step in ("own", "left", "upper", "right", "lower"):
            for a, (aw, ah) in enumerate(anchors):
                for t, (image, _, x, y, w, h) in enumerate((targets * scale).tolist()):
                    if min(w, h) == 0 or max(w / aw, aw / w, h / ah, ah / h) >= anchor_t:
                        continue
                    reached = {
                        "own": True,
                        "left": x % 1 < 0.5 and x > 1,
                        "upper": y % 1 < 0.5 and y > 1,
                        "right": (nx - x) % 1 < 0.5 and nx - x > 1,
                        "lower": (ny - y) % 1 < 0.5 and ny - y > 1,
                    }[step]
                    if reached:
                        dx, dy = {"own": (0, 0), "left": (-0.5, 0), "upper": (0, -0.5), "right": (0.5, 0)}.get(
                            step, (0, 0.5)
                        )
                        column, row = min(int(x + dx), nx - 1), min(int(y + dy), ny - 1)
                        matches.append((int(image), a, row, column, t))
        levels.append(matches)
    return levels


def rows(positives):
    return list(zip(*(part.tolist() for part in (*positives.cells, positives.target)), strict=True))


@given(st.integers(0, 2**31), st.integers(0, 12), st.sampled_from([1.5, 2.91, 4.0]))
@settings(max_examples=60, deadline=None)
def test_ratio_matches_are_those_of_the_loops_in_their_order(seed, number, anchor_t):
    targets = some_targets(seed, number)
    matched = match_by_ratio(targets, ANCHORS, SIZES, anchor_t)
    assert [rows(level) for level in matched] == by_loops(targets, anchor_t)


def test_no_targets_have_no_matches():
    for level in match_by_ratio(torch.zeros(0, 6), ANCHORS, SIZES, 4.0):
        assert len(level) == 0
        assert all(part.dtype == torch.int64 and part.shape == (0,) for part in (*level.cells, level.target))


def test_boxes_without_size_have_no_matches():
    targets = torch.tensor([[0, 1, 0.5, 0.5, 0, 0.3], [0, 1, 0.5, 0.5, 0.3, 0], [0, 1, 0.5, 0.5, 0, 0]])
    assert all(len(level) == 0 for level in match_by_ratio(targets, ANCHORS, SIZES, 4.0))


def test_a_centre_on_the_border_stays_in_the_feature_map():
    corners = [(0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0)]
    targets = torch.tensor([[1, 0, x, y, 0.3, 0.5] for x, y in corners])
    for (ny, nx), level in zip(SIZES, match_by_ratio(targets, ANCHORS, SIZES, 4.0), strict=True):
        assert len(level)
        assert set(zip(level.row.tolist(), level.column.tolist(), strict=True)) == {
            (0, 0), (ny - 1, nx - 1), (ny - 1, 0), (0, nx - 1)
        }  # fmt: skip


def iou_of(a, b):
    (ax, ay, aw, ah), (bx, by, bw, bh) = a, b
    width = max(0, min(ax + aw / 2, bx + bw / 2) - max(ax - aw / 2, bx - bw / 2))
    height = max(0, min(ay + ah / 2, by + bh / 2) - max(ay - ah / 2, by - bh / 2))
    return width * height / (aw * ah + bw * bh - width * height + 1e-7)


def ota_by_loops(candidates, raw, targets):
    """SimOTA for one image, one target, one candidate at a time."""
    matches = [[] for _ in SIZES]
    for image in range(IMAGES):
        candidates_here = [
            (level, i, (a, row, column))
            for level, matched in enumerate(candidates)
            for i, (at, a, row, column, _) in enumerate(rows(matched))
            if at == image
        ]
        own_targets = [t for t in range(len(targets)) if targets[t, 0] == image]
        cost, iou = {}, {}
        for t in own_targets:
            expected = [v * side for v, side in zip(targets[t, 2:].tolist(), (80, 48, 80, 48), strict=True)]
            for c, (level, _, (a, row, column)) in enumerate(candidates_here):
                x, y, w, h, *scores = (1 / (1 + math.exp(-v)) for v in raw[level][image, a, row, column].tolist())
                stride, (aw, ah) = STRIDES[level].item(), ANCHORS[level, a].tolist()
                box = [(2 * x - 0.5 + column), (2 * y - 0.5 + row), (2 * w) ** 2 * aw, (2 * h) ** 2 * ah]
                iou[t, c] = iou_of(expected, [v * stride for v in box])
                joint = [math.sqrt(scores[0] * p) for p in scores[1:]]
                label = int(targets[t, 1])
                entropy = -sum(math.log(p if k == label else 1 - p) for k, p in enumerate(joint))
                cost[t, c] = entropy - 3 * math.log(iou[t, c] + 1e-8)
        matched_by = {c: [] for c in range(len(candidates_here))}
        for t in own_targets:
            k = max(1, int(sum(sorted((iou[t, c] for c in matched_by), reverse=True)[:10])))
            for c in sorted(matched_by, key=lambda c: cost[t, c])[:k]:
                matched_by[c].append(t)
        for c, (level, i, _) in enumerate(candidates_here):
            if matched_by[c]:
                choices = matched_by[c] if len(matched_by[c]) == 1 else own_targets
                matches[level].append((i, min(choices, key=lambda t: cost[t, c])))
    return [sorted(level) for level in matches]


@given(st.integers(0, 2**31), st.integers(0, 14))
@settings(max_examples=40, deadline=None)
def test_ota_matches_are_those_of_the_loops(seed, number):
    targets, raw = some_targets(seed, number), some_raw(seed)
    candidates = match_by_ratio(targets, ANCHORS.double(), SIZES, 4.0)
    matched = match_ota(candidates, raw, targets, ANCHORS.double(), STRIDES.double())
    expected = [
        [(*rows(level)[i][:4], t) for i, t in pairs]
        for level, pairs in zip(candidates, ota_by_loops(candidates, raw, targets), strict=True)
    ]
    assert [rows(level) for level in matched] == expected  # in the order of the candidates


def test_a_candidate_of_several_targets_gets_the_cheapest():
    targets = torch.tensor([[0, 0, 0.5, 0.5, 0.30, 0.5], [0, 1, 0.5, 0.5, 0.30, 0.5], [0, 2, 0.51, 0.5, 0.29, 0.5]])
    level = Positives(*(torch.tensor(v) for v in ([0], [0], [3], [5], [0])))
    raw = [torch.zeros(1, 3, 6, 10, 5 + CLASSES), torch.zeros(1, 3, 3, 5, 5 + CLASSES)]
    raw[0][0, 0, 3, 5, 5:] = torch.tensor([-3.0, 3.0, -3.0, -3.0])
    none = Positives(*(torch.zeros(0, dtype=torch.long) for _ in range(5)))
    matched, empty = match_ota([level, none], raw, targets, ANCHORS, STRIDES)
    assert rows(matched) == [(0, 0, 3, 5, 1)] and len(empty) == 0


def test_a_repeated_candidate_is_kept_twice():
    targets = torch.tensor([[0, 0, 0.55, 0.55, 0.4, 0.6]] * 2)
    candidates = match_by_ratio(targets, ANCHORS, SIZES, 4.0)
    raw = [torch.zeros(1, 3, *size, 5 + CLASSES) for size in SIZES]
    matched = match_ota(candidates, raw, targets, ANCHORS, STRIDES)
    cells = [row[:4] for level in matched for row in rows(level)]
    assert len(cells) > len(set(cells))


@pytest.mark.parametrize("size", [60.0, -60.0, 1000.0])
def test_saturated_predictions_still_match(size):
    targets = some_targets(1, 9).float()
    raw = [maps.sign() * size for maps in some_raw(2, torch.float32)]
    candidates = match_by_ratio(targets, ANCHORS, SIZES, 4.0)
    matched = match_ota(candidates, raw, targets, ANCHORS, STRIDES)
    assert {t for level in matched for t in level.target.tolist()} <= set(range(9))
    assert 0 < sum(map(len, matched)) < sum(map(len, candidates))


def test_autocast_and_half_precision_change_no_match():
    targets, raw = some_targets(5, 9).float(), some_raw(5, torch.bfloat16)
    candidates = match_by_ratio(targets, ANCHORS, SIZES, 4.0)
    expected = match_ota(candidates, [maps.float() for maps in raw], targets, ANCHORS, STRIDES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        matched = match_ota(candidates, raw, targets, ANCHORS, STRIDES)
    assert [rows(level) for level in matched] == [rows(level) for level in expected]
    assert any(map(len, matched))


def test_autocast_is_off_where_probabilities_are_compared(monkeypatch):
    """Autocast refuses `binary_cross_entropy` on GPUs but not on CPUs: its state is checked here."""
    real, states = assign.F.binary_cross_entropy, []

    def watched(*args, **kwargs):
        states.append(torch.is_autocast_enabled("cpu"))
        return real(*args, **kwargs)

    monkeypatch.setattr(assign.F, "binary_cross_entropy", watched)
    targets, raw = some_targets(5, 9).float(), some_raw(5, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        match_ota(match_by_ratio(targets, ANCHORS, SIZES, 4.0), raw, targets, ANCHORS, STRIDES)
    assert states and not any(states)


def test_matching_needs_no_gradient():
    targets, raw = some_targets(5, 9).float(), [maps.requires_grad_() for maps in some_raw(5, torch.float32)]
    matched = match_ota(match_by_ratio(targets, ANCHORS, SIZES, 4.0), raw, targets, ANCHORS, STRIDES)
    assert any(map(len, matched)) and not any(level.target.requires_grad for level in matched)
