"""What a position sees."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from akyolo.errors import RowError
from akyolo.sampling import PADDING_MODES, bilinear, sample


@pytest.fixture(params=["bags", "grid_sample"])
def realisation(request, monkeypatch):
    monkeypatch.setattr(bilinear, "_uses_grid_sample", lambda x: request.param == "grid_sample")


def scalar_reference(image, y, x, mode):
    """One channel, one position, written like the equation."""
    H, W = image.shape
    times = 1
    if mode != "zeros":
        if mode == "official":
            times = (2 if y < 0 or y >= H - 1 else 1) * (2 if x < 0 or x >= W - 1 else 1)
        y, x = min(max(y, 0), H - 1), min(max(x, 0), W - 1)
    total = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < H and 0 <= column < W:
                total += float(image[row, column]) * (1 - abs(y - row)) * (1 - abs(x - column))
    return times * total


@pytest.mark.parametrize("mode", PADDING_MODES)
@given(seed=st.integers(0, 10**6), spread=st.sampled_from([0.0, 1.0, 30.0]))
@settings(max_examples=15, deadline=None)
def test_equals_the_scalar_reference(mode, seed, spread):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64, generator=generator)
    yx = torch.randn(2, 4, 3, 2, 2, dtype=torch.float64, generator=generator) * spread
    yx[0, 0] = yx[0, 0].round()
    seen = sample(x, yx, mode)
    assert seen.shape == (2, 3, 4, 3, 2)
    for b, c, n, i, j in [(0, 0, 0, 0, 0), (1, 2, 3, 2, 1), (0, 1, 2, 0, 1), (1, 0, 1, 2, 0), (0, 2, 0, 1, 1)]:
        y, x_ = yx[b, n, i, j].tolist()
        assert float(seen[b, c, n, i, j]) == pytest.approx(scalar_reference(x[b, c], y, x_, mode), abs=1e-12)


@pytest.mark.parametrize("mode", PADDING_MODES)
def test_both_realisations_agree(mode, monkeypatch):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 11, 17, dtype=torch.float64, requires_grad=True)
    yx = (torch.randn(2, 4, 6, 5, 2, dtype=torch.float64) * 12).requires_grad_()
    weight = torch.randn(2, 3, 4, 6, 5, dtype=torch.float64)
    results = []
    for by_grid in (False, True):
        monkeypatch.setattr(bilinear, "_uses_grid_sample", lambda x, by_grid=by_grid: by_grid)
        seen = sample(x, yx, mode)
        results.append([seen, *torch.autograd.grad((seen * weight).sum(), (x, yx))])
    for bags, grid in zip(*results, strict=True):
        assert torch.allclose(bags, grid, atol=1e-12)


@pytest.mark.parametrize("mode", PADDING_MODES)
def test_gradcheck_off_integers(mode):
    torch.manual_seed(1)
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    yx = torch.randint(-3, 7, (2, 2, 3, 2, 2)).double() + torch.rand(2, 2, 3, 2, 2).double() * 0.8 + 0.1
    assert torch.autograd.gradcheck(lambda x, yx: sample(x, yx, mode), (x, yx.requires_grad_()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("mode", PADDING_MODES)
def test_slope_at_exact_integers_is_the_right_hand_one(mode, dtype):
    """A wide map: rounding in normalised coordinates would take the left-hand slope at some of the columns."""
    torch.manual_seed(2)
    width = 321
    x = torch.randn(1, 1, 3, width, dtype=dtype)
    columns = torch.arange(-3, width + 3, dtype=dtype)
    yx = torch.stack((torch.ones_like(columns), columns), -1).view(1, 1, 1, -1, 2).requires_grad_()
    (slope,) = torch.autograd.grad(sample(x, yx, mode).sum(), yx)
    row = torch.cat((torch.zeros(3, dtype=dtype), x[0, 0, 1], torch.zeros(4, dtype=dtype)))
    expected = row[1:] - row[:-1]
    if mode != "zeros":
        expected[: 3 + 1] = 0
        expected[3 + width - 1 :] = 0
    # flipped to the left, a slope would be off by about 1; rounding in the positions moves it a little
    assert torch.allclose(slope[0, 0, 0, :, 1], expected, atol=1e-3 if dtype == torch.float32 else 1e-11)
    at_the_limits = [3, 3 + width - 1]
    assert mode == "zeros" or not slope[0, 0, 0, at_the_limits, 1].any()


@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_position_that_is_not_finite_gives_nan_and_nothing_else(mode, realisation, bad):
    x = torch.randn(1, 2, 5, 6)
    for axis in (0, 1):
        yx = torch.full((1, 3, 1, 1, 2), 2.0)
        yx[0, 1, 0, 0, axis] = bad
        seen = sample(x, yx, mode)
        assert seen[:, :, 1].isnan().all()
        assert seen[:, :, [0, 2]].isfinite().all()


@pytest.mark.parametrize("mode", PADDING_MODES)
def test_far_positions_neither_crash_nor_wrap(mode, realisation):
    x = torch.ones(1, 1, 4, 4)
    yx = torch.tensor([1e9, -1e9, 3e38, -3e38]).view(1, 4, 1, 1, 1).expand(1, 4, 1, 1, 2)
    expected = {"zeros": 0.0, "border": 1.0, "official": 4.0}[mode]
    assert sample(x, yx, mode).flatten().tolist() == [expected] * 4


@pytest.mark.parametrize("mode", PADDING_MODES)
def test_batch_0_and_one_pixel(mode, realisation):
    yx = torch.zeros(0, 3, 2, 4, 2, requires_grad=True)
    empty = torch.zeros(0, 5, 6, 7, requires_grad=True)
    seen = sample(empty, yx, mode)
    assert seen.shape == (0, 5, 3, 2, 4)
    seen.sum().backward()
    assert empty.grad.shape == empty.shape
    assert sample(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1, 2), mode).item() == (4 if mode == "official" else 1)


def test_nothing_between_input_and_samples_is_kept_for_backward():
    x = torch.randn(1, 4, 20, 20, requires_grad=True)
    yx = torch.rand(1, 3, 20, 20, 2, requires_grad=True)
    kept = set()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.add(t.numel()) or t, lambda t: t):
        sample(x, yx)
    assert kept <= {x.numel(), yx.numel()}


def test_unknown_padding_mode_is_refused():
    with pytest.raises(RowError, match="did you mean 'zeros'"):
        sample(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 1, 1, 2), "zero")


@pytest.mark.parametrize(
    ("x", "positions", "message"),
    [
        (torch.zeros(2, 3, 4, 5), torch.zeros(1, 2, 3, 4, 2), r"positions must be \(2, N, h, w, 2\).*batch size 2"),
        (torch.zeros(2, 3, 4, 5), torch.zeros(3, 2, 3, 4, 2), "batch size 2"),
        (torch.zeros(2, 3, 4, 5), torch.zeros(2, 2, 3, 4, 3), "positions must be"),
        (torch.zeros(2, 3, 4, 5), torch.zeros(2, 3, 4, 2), "positions must be"),
        (torch.zeros(3, 4, 5), torch.zeros(3, 2, 3, 4, 2), r"x must be \(B, C, H, W\)"),
        (
            torch.zeros(2, 3, 4, 5, dtype=torch.uint8),
            torch.zeros(2, 2, 3, 4, 2),
            "floating point, not .* torch.uint8",
        ),
    ],
)
def test_tensors_of_other_sizes_are_refused_not_sampled(realisation, x, positions, message):
    """Positions of one image for a batch of two gave one image."""
    with pytest.raises(ValueError, match=message):
        sample(x, positions)
