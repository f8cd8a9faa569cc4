"""The reference implementations compute what AKConv computes."""

import pytest
import torch

from akyolo.bench.reference_akconv import DeformColumn, FourGather
from akyolo.ops.akconv import AKConv
from akyolo.registry import is_registered

CASES = [
    {"num_param": 1},
    {"num_param": 2, "stride": 2},
    {"num_param": 5, "stride": 2},
    {"num_param": 5, "shape": "e", "stride": 3},
    {"num_param": 6, "shape": [[0, 0.5], [-1, 2], [0, 0], [3, 1], [1, 1], [2, -2]]},
    {"num_param": 4, "offset": False, "act": False},
]


def twins(other, padding_mode, arguments):
    """AKConv and another realisation with its weights, offsets some pixels wide and beyond every border."""
    torch.manual_seed(0)
    ours = AKConv(3, 7, padding_mode=padding_mode, **arguments).double()
    if ours.offset_conv is not None:
        torch.nn.init.normal_(ours.offset_conv.weight, std=0.5)
    other.double().load_state_dict(ours.state_dict())
    return ours, other


def outputs_and_gradients(module):
    torch.manual_seed(1)
    x = torch.randn(2, 3, 11, 14, dtype=torch.float64, requires_grad=True)
    y = module(x)
    return [y, *torch.autograd.grad(y, [x, *module.parameters()], torch.randn_like(y))]


def assert_same(ours, other):
    for expected, actual in zip(outputs_and_gradients(ours), outputs_and_gradients(other), strict=True):
        assert torch.allclose(expected, actual, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("arguments", CASES, ids=str)
def test_four_gathers_are_akconv_with_the_official_border(arguments):
    assert_same(*twins(FourGather(3, 7, **arguments), "official", arguments))


@pytest.mark.parametrize("arguments", CASES, ids=str)
def test_a_deformable_column_is_akconv_with_zeros_beyond_the_border(arguments):
    assert_same(*twins(DeformColumn(3, 7, **arguments), "zeros", arguments))


def test_the_cases_reach_beyond_every_border():
    ours, _ = twins(FourGather(3, 7, 5), "official", {"num_param": 5})
    torch.manual_seed(1)
    x = torch.randn(2, 3, 11, 14, dtype=torch.float64)
    offset = ours.offset_conv(x)
    assert offset.std() > 1
    zeros = AKConv(3, 7, 5).double()
    zeros.load_state_dict(ours.state_dict())
    changed = (ours.raw(x) - zeros.raw(x)).abs().amax(dim=(0, 1)) > 1e-3
    assert changed[0].any() and changed[-1].any() and changed[:, 0].any() and changed[:, -1].any()


@pytest.mark.parametrize("method", [FourGather, DeformColumn])
def test_no_index_leaves_a_wide_map_in_16_bits(method):
    torch.manual_seed(0)
    module = method(2, 3, 5, 2)
    torch.nn.init.normal_(module.offset_conv.weight, std=100.0)
    x = torch.randn(1, 2, 4, 320)  # bfloat16 rounds its last column, 319, to 320
    with torch.autocast("cpu", torch.bfloat16):
        y = module(x.bfloat16())
    assert y.shape == (1, 3, 2, 160)
    assert y.isfinite().all()


def test_no_model_yaml_can_name_them():
    assert not is_registered("FourGather")
    assert not is_registered("DeformColumn")
