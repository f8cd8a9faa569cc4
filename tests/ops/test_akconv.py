"""AKConv against its equations."""

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st

from akyolo.errors import RowError
from akyolo.ops.akconv import AKConv, akconv
from akyolo.registry import operator
from akyolo.sampling import initial_shape, mix
from tests.helpers.contract import OperatorContract, shake


class TestContract(OperatorContract):
    operator = AKConv
    cases = [
        {"num_param": 1},
        {"num_param": 5, "stride": 2},
        {"num_param": 5, "shape": "e", "padding_mode": "border"},
        {"num_param": 2, "shape": [[0, 0.5], [-1, 2]], "padding_mode": "official", "stride": 3},
        {"num_param": 4, "offset": False, "act": False},
    ]
    in_yolov8n = {"args": (5,)}


def still(op: AKConv) -> AKConv:
    """Zero offsets: both the weight and the bias of the offset convolution."""
    torch.nn.init.zeros_(op.offset_conv.weight)
    torch.nn.init.zeros_(op.offset_conv.bias)
    return op


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_full_square_without_offsets_is_the_plain_convolution(k, stride, learned):
    torch.manual_seed(0)
    op = AKConv(3, 7, k * k, stride, offset=learned).double()
    op = still(op) if learned else op
    x = torch.randn(2, 3, 11, 14, dtype=torch.float64)
    kernel = rearrange(op.conv.weight, "o c (kh kw) 1 -> o c kh kw", kh=k)
    # the origin of Algorithm 1 is the upper left tap
    expected = F.conv2d(F.pad(x, (0, k - 1, 0, k - 1)), kernel, stride=stride)
    h, w = -(-11 // stride), -(-14 // stride)
    assert torch.allclose(op.raw(x), expected[..., :h, :w], atol=1e-12)


def column_convolution(taps, weight):
    """Eq. of section 3.3: taps stacked along rows, an (N, 1) kernel that moves by N."""
    n = taps.shape[2]
    return F.conv2d(rearrange(taps, "b c n h w -> b c (h n) w"), weight, stride=(n, 1))


def conv3d(taps, weight):
    """Taps as a depth that one (N, 1, 1) kernel covers whole."""
    return rearrange(F.conv3d(taps, rearrange(weight, "o c n 1 -> o c n 1 1")), "b o 1 h w -> b o h w")


@pytest.mark.parametrize("realise", [column_convolution, conv3d])
@pytest.mark.parametrize("innermost", ["pixels", "channels"])
def test_the_papers_three_realisations_agree(realise, innermost):
    torch.manual_seed(1)
    taps = torch.randn(2, 3, 5, 4, 6, dtype=torch.float64)
    if innermost == "channels":
        taps = rearrange(rearrange(taps, "b c n h w -> b h w n c").contiguous(), "b h w n c -> b c n h w")
    weight = torch.randn(7, 3, 5, 1, dtype=torch.float64)
    assert torch.allclose(mix(taps, weight), realise(taps, weight), atol=1e-12)


@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_parameters_grow_linearly_in_n(num_param, c1, c2):
    def count(n):
        return sum(p.numel() for p in AKConv(c1, c2, n).parameters())

    assert count(num_param) == c1 * c2 * num_param + 2 * c2 + (9 * c1 + 1) * 2 * num_param
    assert count(num_param + 2) - count(num_param + 1) == count(num_param + 1) - count(num_param)


@pytest.mark.parametrize("stride", [1, 2])
def test_shift_equivariance_inside(stride):
    op = shake(AKConv(3, 5, 5, stride)).double().eval()
    with torch.no_grad():
        op.offset_conv.weight.mul_(0.05)  # offsets that stay well inside the margins below
    x = torch.randn(1, 3, 40, 48, dtype=torch.float64)
    shifted = torch.roll(x, (2 * stride, 2 * stride), dims=(2, 3))
    inside = (..., slice(6, -6), slice(6, -6))
    assert torch.allclose(op(shifted)[inside], torch.roll(op(x), (2, 2), dims=(2, 3))[inside], atol=1e-9)


def test_a_non_finite_offset_shows_in_the_output():
    op = shake(AKConv(3, 4, 5))
    op.offset_conv.bias.data[7] = float("inf")
    assert op.raw(torch.randn(1, 3, 8, 9)).isnan().all()


def test_fuse_folds_the_bn():
    from ultralytics.utils.torch_utils import fuse_conv_and_bn

    op = shake(AKConv(3, 6, 5, 2)).eval()
    x = torch.randn(2, 3, 12, 10)
    expected = op(x)
    op.conv = fuse_conv_and_bn(op.conv, op.bn)
    assert torch.allclose(op.forward_fuse(x), expected, atol=1e-5)


def released_state(op, **extra):
    names = {"offset_conv.": "p_conv.", "conv.": "conv.0.", "bn.": "conv.1."}
    return {
        released + key.removeprefix(ours): value
        for key, value in op.state_dict().items()
        for ours, released in names.items()
        if key.startswith(ours)
    } | extra


def test_reads_the_state_dicts_of_the_released_modules():
    op = shake(AKConv(3, 6, 5, 2)).eval()
    x = torch.randn(2, 3, 12, 10)
    p_n = rearrange(torch.tensor(op.shape), "n yx -> 1 (yx n) 1 1")
    for extra in ({}, {"p_n": p_n}):
        other = AKConv(3, 6, 5, 2).eval()
        other.load_state_dict(released_state(op, **extra))
        assert torch.equal(other(x), op(x))
    nested = torch.nn.Sequential(torch.nn.Identity(), AKConv(3, 6, 5, 2)).eval()
    nested.load_state_dict({f"1.{key}": value for key, value in released_state(op, p_n=p_n).items()})
    assert torch.equal(nested(x), op(x))


def test_refuses_released_weights_of_another_initial_shape():
    op = AKConv(3, 6, 5, shape="d")
    p_n = rearrange(torch.tensor(initial_shape(5)), "n yx -> 1 (yx n) 1 1")
    with pytest.raises(RuntimeError, match="trained for the initial shape"):
        op.load_state_dict(released_state(op, p_n=p_n))


def test_ldconv_is_its_second_name():
    assert operator("LDConv").module is operator("AKConv").module is AKConv


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_param": 0}, "at least 1"),
        ({"num_param": 3, "stride": 0}, "stride=0"),
        ({"num_param": 3, "stride": 1.5}, "stride=1.5"),
        ({"num_param": 3, "offset": "no"}, "offset='no'"),
        ({"num_param": 3, "padding_mode": "bordr"}, "did you mean 'border'"),
        ({"num_param": 3, "act": "SiLU"}, "act='SiLU'"),
        ({"num_param": 4, "shape": "b"}, "5 points"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(RowError, match=message):
        AKConv(3, 4, **arguments)


def test_function_and_module_are_one():
    op = shake(AKConv(3, 6, 5, 2, padding_mode="border")).double().eval()
    x = torch.randn(2, 3, 12, 10, dtype=torch.float64)
    raw = akconv(x, op.offset_conv(x), op.conv.weight, None, op.shape, 2, "border")
    assert torch.allclose(op.act(op.bn(raw)), op(x), atol=1e-12)
