"""Anchors: what a YAML writes, the decoding and its inverse, and the fit to a data set."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from akyolo.errors import RowError
from akyolo.heads.anchor_fit import best_possible_recall, fit_anchors
from akyolo.heads.anchors import anchor_table, decode, encode

FLAT = [[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119.5]]


def test_flat_lists_and_lists_of_pairs_mean_the_same():
    table = anchor_table(FLAT, 2)
    assert table.shape == (2, 3, 2) and table.dtype == torch.float32
    assert table[1, 2].tolist() == [59, 119.5]
    pairs = [[[w, h] for w, h in zip(level[::2], level[1::2], strict=True)] for level in FLAT]
    assert torch.equal(anchor_table(pairs, 2), table)
    assert anchor_table(((7, 8),), 1).shape == (1, 1, 2)


@pytest.mark.parametrize(
    ("anchors", "message"),
    [
        (None, "is not a list"),
        (3, "is not a list"),
        ("10,13", "is not a list"),
        (FLAT[:1], "1 levels, but the head gets 2"),
        ([*FLAT, FLAT[0]], "3 levels, but the head gets 2"),
        ([FLAT[0], FLAT[1][:4]], "3, 2 anchors: all must have the same number"),
        ([FLAT[0], FLAT[1][:5]], "level 1: .*5 numbers: a height is missing"),
        ([FLAT[0], []], "level 1: .* is not a list of widths"),
        ([FLAT[0], 7], "level 1: 7 is not a list of widths"),
        ([[[1, 2, 3]], [[1, 2]]], "level 0: .*not a pair"),
        ([[1, [2, 3]], [1, 2]], r"has \[2, 3\], which is not a positive, finite"),
        ([[True, 2], [1, 2]], "has True, which is not a positive, finite"),
        ([["1", 2], [1, 2]], "has '1', which is not a positive, finite"),
        ([[0, 2], [1, 2]], "has 0, which is not a positive, finite"),
        ([[1, 2], [1, -2]], "has -2, which is not a positive, finite"),
        ([[float("nan"), 2], [1, 2]], "has nan, which is not a positive, finite"),
        ([[float("inf"), 2], [1, 2]], "has inf, which is not a positive, finite"),
        ([[1e39, 2], [1, 2]], "which is not a positive, finite"),
    ],
)
def test_impossible_anchors_are_refused(anchors, message):
    with pytest.raises(RowError, match=message) as error:
        anchor_table(anchors, 2)
    assert "\n" not in error.value.what and len(error.value.what) < 200
    assert "write 2 lists [w, h, w, h, ...]" in error.value.remedy


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16], ids=str)
def test_decoding_is_the_formula(dtype):
    raw = torch.randn(2, 3, 4, 5, 7, dtype=dtype)
    anchors = anchor_table([FLAT[0]], 1)[0]
    boxes = decode(raw, anchors, 8)
    assert boxes.shape == (2, 3, 4, 5, 4)
    assert boxes.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    for b, a, row, column in [(0, 0, 0, 0), (1, 2, 3, 4), (1, 1, 2, 0), (0, 2, 0, 3)]:
        x, y, w, h = 2 / (1 + np.exp(-raw[b, a, row, column, :4].double().numpy()))
        expected = [
            (x - 0.5 + column) * 8,
            (y - 0.5 + row) * 8,
            w**2 * anchors[a, 0].item(),
            h**2 * anchors[a, 1].item(),
        ]
        torch.testing.assert_close(
            boxes[b, a, row, column].double(), torch.tensor(expected).double(), rtol=1e-6, atol=1e-5
        )


@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 5), st.sampled_from([4.0, 8.0, 32.0]))
@settings(max_examples=30, deadline=None)
def test_encode_undoes_decode(seed, ny, nx, stride):
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(2, 3, ny, nx, 4, generator=generator, dtype=torch.float64) * 3
    anchors = torch.rand(3, 2, generator=generator, dtype=torch.float64) * 300 + 1
    boxes = decode(raw, anchors, stride)
    torch.testing.assert_close(encode(boxes, anchors, stride), raw, rtol=1e-7, atol=1e-7)


def test_a_box_out_of_reach_has_no_finite_logits():
    box = torch.tensor([100.0, 4.0, 9.0, 3.0]).view(1, 1, 1, 1, 4)  # 12 cells off, more than 4 times as wide
    assert encode(box, torch.tensor([[2.0, 2.0]]), 8).isfinite()[0, 0, 0, 0].tolist() == [False, True, False, True]


def test_recall_counts_boxes_that_an_anchor_fits():
    anchors = torch.tensor([[[10.0, 10.0]], [[100.0, 50.0]]])
    wh = np.array([[39, 3], [41, 10], [3, 10], [100, 200], [25.1, 199], [0, 10], [10, 10], [2.4, 10]])
    reference = [
        any(max(w / a, a / w if w else np.inf, h / b, b / h) < 4 for a, b in ((10, 10), (100, 50))) for w, h in wh
    ]
    assert 0 < sum(reference) < len(wh)
    assert best_possible_recall(wh, anchors, 4.0) == sum(reference) / len(wh)
    assert best_possible_recall(wh[:0], anchors, 4.0) == 1


CENTRES = ([12, 20], [40, 22], [35, 90], [150, 60], [140, 300], [500, 400])


def clouds(n, spread=0.08, seed=3):
    generator = np.random.default_rng(seed)
    return np.array(CENTRES)[generator.integers(0, 6, n)] * np.exp(generator.standard_normal((n, 2)) * spread)


def test_fitted_anchors_find_the_sizes_of_the_boxes():
    wh = clouds(600, spread=0.02)
    anchors = fit_anchors(wh, 3, 2, threshold=4.0)
    assert anchors.shape == (3, 2, 2) and anchors.dtype == torch.float32
    areas = anchors.prod(-1).flatten()
    assert torch.equal(areas, areas.sort().values)
    assert torch.equal(anchors, anchors.half().float())
    for centre in CENTRES:
        assert (anchors / torch.tensor(centre) - 1).abs().amax(-1).min() < 0.05
    assert best_possible_recall(wh, anchors, 1.2) > 0.99


def test_mutations_raise_the_fit(monkeypatch):
    wh = np.exp(np.random.default_rng(0).standard_normal((500, 2)) + 3)

    def fit(anchors):
        ratio = wh[:, None] / anchors.reshape(-1, 2).numpy()
        best = np.minimum(ratio, 1 / ratio).min(-1).max(-1)
        return np.where(best > 1 / 4, best, 0).mean()

    refined = fit(fit_anchors(wh, 3, 3, 4.0))
    monkeypatch.setattr("akyolo.heads.anchor_fit.MUTATIONS", 0)
    assert refined > fit(fit_anchors(wh, 3, 3, 4.0)) + 0.01


def test_the_same_seed_gives_the_same_anchors():
    wh = clouds(300) * np.random.default_rng(1).uniform(0.5, 2, (300, 2))
    first = fit_anchors(wh, 2, 4, 4.0, seed=1)
    fit_anchors(wh, 2, 4, 4.0, seed=2)
    assert torch.equal(fit_anchors(wh, 2, 4, 4.0, seed=1), first)
    assert not torch.equal(fit_anchors(wh, 2, 4, 4.0, seed=2), first)


def test_too_few_usable_boxes_are_no_basis():
    wh = clouds(6)
    assert fit_anchors(wh, 3, 2, 4.0) is not None
    assert fit_anchors(wh[:5], 3, 2, 4.0) is None
    assert fit_anchors(np.zeros((0, 2)), 3, 2, 4.0) is None
    assert fit_anchors(np.concatenate((wh[:5], [[1.9, 1.9], [0, 30]])), 3, 2, 4.0) is None  # too small, no width


def test_boxes_of_one_size_are_fitted_too():
    anchors = fit_anchors(np.full((50, 2), 20.0), 1, 3, 4.0)
    torch.testing.assert_close(anchors, torch.full((1, 3, 2), 20.0), rtol=0.5, atol=0)


def test_many_boxes_are_sampled(monkeypatch):
    monkeypatch.setattr("akyolo.heads.anchor_fit.MAX_BOXES", 40)
    lengths = []
    monkeypatch.setattr("akyolo.heads.anchor_fit._clusters", lambda wh, *_: lengths.append(len(wh)) or wh[:6])
    assert fit_anchors(clouds(1000), 3, 2, 4.0).shape == (3, 2, 2)
    assert lengths == [40]
