"""Where taps stand."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from akyolo.errors import RowError
from akyolo.sampling import initial_shape, kernel_positions, pad_if_even, regular_grid, sample


@given(st.integers(1, 200))
def test_algorithm_1_fills_rows_from_the_upper_left(num_param):
    base = round(math.sqrt(num_param))
    shape = initial_shape(num_param)
    assert shape == tuple(sorted(set(shape))) and len(shape) == num_param  # row-major, no tap twice
    assert shape[0] == (0, 0)
    rows = [[x for y, x in shape if y == row] for row in range(int(shape[-1][0]) + 1)]
    assert all(row == list(range(base)) for row in rows[:-1])
    assert rows[-1] == list(range(len(rows[-1])))


def test_a_written_shape_keeps_its_floats():
    assert initial_shape(2, [[0, 1.5], [-2, 0]]) == ((0.0, 1.5), (-2.0, 0.0))


@pytest.mark.parametrize(
    ("num_param", "shape", "message"),
    [
        (0, None, "at least 1"),
        (-3, None, "at least 1"),
        (True, None, "whole number"),
        (2.5, None, "whole number"),
        (4, "a", "5 points, but num_param=4"),
        (5, "f", "unknown shape 'f'"),
        (2, [[0, 0]], "1 points, but num_param=2"),
        (1, [[0, float("nan")]], "not finite"),
        (1, [[0, 0, 0]], "is not a list of points"),
        (1, [0, 0], "is not a list of points"),
        (1, [[True, 0]], "is not a list of points"),
        (1, [["1", 0]], "is not a list of points"),
        (1, 7, "is not a list of points"),
    ],
)
def test_impossible_shapes_are_refused(num_param, shape, message):
    with pytest.raises(RowError, match=message):
        initial_shape(num_param, shape)


def test_positions_are_centre_plus_shape_plus_offset():
    shape, stride = ((0.0, 0.0), (0.5, 3.0), (-1.0, 2.0)), 2
    offset = torch.randn(2, 6, 4, 5, dtype=torch.float64)
    positions = kernel_positions(offset, shape, stride)
    assert positions.shape == (2, 3, 4, 5, 2)
    for b, n, i, j in [(0, 0, 0, 0), (1, 2, 3, 4), (1, 1, 2, 0)]:
        y, x = positions[b, n, i, j]
        assert y == i * stride + shape[n][0] + offset[b, n, i, j]
        assert x == j * stride + shape[n][1] + offset[b, 3 + n, i, j]


def test_half_precision_offsets_give_float32_positions():
    positions = kernel_positions(torch.zeros(1, 2, 1, 400, dtype=torch.bfloat16), ((0.0, 0.0),), 1)
    assert positions.dtype == torch.float32
    assert positions[0, 0, 0, :, 1].tolist() == list(range(400))  # bfloat16 holds no 257


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_a_padded_even_kernel_stands_on_the_regular_grid(k, stride):
    x = torch.randn(2, 3, 7, 10, dtype=torch.float64)
    h, w = -(-7 // stride), -(-10 // stride)
    at = kernel_positions(torch.zeros(2, 2 * k * k, h, w, dtype=torch.float64), regular_grid(k), stride)
    seen = F.unfold(pad_if_even(x, k), k, padding=(k - 1) // 2, stride=stride)
    assert torch.equal(seen.view(2, 3, k * k, h, w), sample(x, at))
