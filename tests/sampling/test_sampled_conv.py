"""The convolution of sampled values."""

import pytest
import torch
import torch.nn.functional as F

from akyolo.ops.akconv import akconv
from akyolo.sampling import kernel_positions, regular_grid, sampled_conv

X = torch.rand(2, 6, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("groups", [1, 3])
def test_on_a_regular_grid_it_is_a_plain_convolution(groups):
    weight = torch.rand(9, 6 // groups, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    bias = torch.arange(9.0, dtype=torch.float64)
    positions = kernel_positions(torch.zeros(2, 18, 5, 7), regular_grid(3), 1)
    out = sampled_conv(X, positions, weight.reshape(9, -1, 9, 1), groups=groups, bias=bias)
    assert torch.allclose(out, F.conv2d(X, weight, bias, padding=1, groups=groups), atol=1e-12)


def test_a_mask_multiplies_what_each_tap_samples():
    positions = kernel_positions(torch.zeros(2, 8, 5, 7), regular_grid(2), 1)
    weight = torch.rand(3, 6, 4, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    mask = torch.zeros(2, 4, 5, 7, dtype=torch.float64)
    mask[:, 2] = 0.5
    expected = 0.5 * sampled_conv(X, positions[:, 2:3], weight[:, :, 2:3])
    assert torch.allclose(sampled_conv(X, positions, weight, mask), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("weight", "mask", "message"),
    [
        ((3, 6, 5, 1), None, r"weight must be \(O, 6/1, 4, 1\), not \(3, 6, 5, 1\)"),
        ((3, 5, 4, 1), None, "weight must be"),
        ((3, 6, 4), None, "weight must be"),
        ((3, 6, 4, 1), (1, 4, 5, 7), r"mask must be \(2, 4, 5, 7\), not \(1, 4, 5, 7\)"),
        ((3, 6, 4, 1), (2, 1, 5, 7), "mask must be"),
    ],
)
def test_tensors_of_other_sizes_are_refused_not_broadcast(weight, mask, message):
    positions = torch.zeros(2, 4, 5, 7, 2)
    with pytest.raises(ValueError, match=message):
        sampled_conv(X.float(), positions, torch.zeros(weight), None if mask is None else torch.zeros(mask))


def test_offsets_for_another_number_of_taps_are_refused():
    """Those of one tap would move all taps alike."""
    with pytest.raises(ValueError, match="offset must have 10 channels for 5 taps, not 2"):
        akconv(X, torch.zeros(2, 2, 5, 7), torch.zeros(3, 6, 5, 1))
