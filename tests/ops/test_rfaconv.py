"""RFAConv against its equations."""

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st

from akyolo.errors import RowError
from akyolo.ops.rfaconv import RFAConv, rfaconv
from tests.helpers.contract import OperatorContract, shake


class TestContract(OperatorContract):
    operator = RFAConv
    cases = [
        {"kernel_size": 1},
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": 2, "stride": 2},
        {"kernel_size": 4, "stride": 3, "act": False},
    ]
    in_yolov8n = {"args": (3,)}


def around(k):
    """Zeros before and after a map: an even kernel has its extra tap below and right."""
    before, after = (k - 1) // 2, k // 2
    return before, after, before, after


def seen(x, k, stride):
    """The k x k pixels around every output, (B, C, N, h, w)."""
    patches = F.pad(x, around(k)).unfold(2, k, stride).unfold(3, k, stride)
    return rearrange(patches, "b c h w kh kw -> b c (kh kw) h w")


def of_taps(layer_weight):
    """The kernels of a depthwise layer, (C*N, 1, k, k), by channel and tap."""
    return rearrange(layer_weight, "(c n) 1 kh kw -> c n (kh kw)", n=layer_weight.shape[-1] ** 2)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_it_is_the_papers_map_of_receptive_fields_convolved_with_stride_k(k, stride):
    """The equation of RFA, then the rearrangement and the k x k convolution, from the pixels on."""
    op = shake(RFAConv(3, 7, k, stride)).double().eval()
    x = torch.randn(2, 3, 8, 11, dtype=torch.float64)
    pixels = seen(x, k, stride)
    scores = torch.einsum("bchw,cn->bcnhw", pixels.mean(2), rearrange(op.attention.weight, "(c n) 1 1 1 -> c n", c=3))
    drawn = torch.einsum("bcmhw,cnm->bcnhw", pixels, of_taps(op.features.conv.weight))
    normalised = op.features.bn(rearrange(drawn, "b c n h w -> b (c n) h w"))
    receptive = torch.relu(normalised).view_as(drawn) * torch.exp(scores) / torch.exp(scores).sum(2, keepdim=True)
    laid_out = rearrange(receptive, "b c (kh kw) h w -> b c (h kh) (w kw)", kh=k)
    kernel = rearrange(op.conv.weight, "o c (kh kw) 1 -> o c kh kw", kh=k)
    expected = F.conv2d(laid_out, kernel, stride=k)
    assert expected.shape[2:] == (-(-8 // stride), -(-11 // stride))
    assert torch.allclose(op.raw(x), expected, atol=1e-10)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_pixels_under_equal_attention_are_the_plain_convolution(k, stride):
    op = shake(RFAConv(3, 7, k, stride)).double().eval()
    with torch.no_grad():
        op.attention.weight.zero_()
        of_taps(op.features.conv.weight).copy_(torch.eye(k * k).expand(3, -1, -1))
        op.features.bn.reset_parameters()
        op.features.bn.eps = 0.0
    x = torch.rand(2, 3, 8, 11, dtype=torch.float64)  # not negative: the ReLU changes nothing
    kernel = rearrange(op.conv.weight, "o c (kh kw) 1 -> o c kh kw", kh=k)
    expected = F.conv2d(F.pad(x, around(k)), kernel, stride=stride)
    assert torch.allclose(op.raw(x) * k * k, expected, atol=1e-12)


def sum_of_taps(channels: int, taps: int) -> torch.Tensor:
    """Weights (C, C, N, 1) with which each output is the sum of one channel's taps."""
    return torch.eye(channels, dtype=torch.float64)[:, :, None, None].expand(-1, -1, taps, 1)


@given(st.integers(1, 9), st.floats(-30, 30))
@settings(max_examples=15, deadline=None)
def test_attention_sums_to_1_over_the_taps_of_a_channel(taps, level):
    scores = level * torch.randn(2, 3, taps, 4, 5, dtype=torch.float64)
    attention = rfaconv(torch.ones_like(scores), scores, sum_of_taps(3, taps))
    assert torch.allclose(attention, torch.ones(2, 3, 4, 5, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize("tap", range(4))
def test_a_channel_whose_attention_is_on_one_tap_shows_its_feature(tap):
    features, scores = torch.randn(2, 2, 3, 4, 5, 6, dtype=torch.float64)
    scores[:, 1, tap] += 1e3
    shown = rfaconv(features, scores, sum_of_taps(3, 4))
    assert torch.equal(shown[:, 1], features[:, 1, tap])
    assert not torch.equal(shown[:, 0], features[:, 0, tap])


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_parameters_are_mixing_attention_and_features(k, c1, c2):
    parts = {
        "conv": c1 * c2 * k**2,
        "bn": 2 * c2,
        "attention": c1 * k**2,
        "features": c1 * k**2 * k**2 + 2 * c1 * k**2,
    }
    op = RFAConv(c1, c2, k)
    assert {name: sum(p.numel() for p in getattr(op, name).parameters()) for name in parts} == parts
    assert sum(p.numel() for p in op.parameters()) == sum(parts.values())


def test_its_convolutions_are_counted():
    import thop

    x = torch.randn(1, 8, 10, 12)
    counted, _ = thop.profile(RFAConv(8, 12, 3, 2, act=False), inputs=(x,), verbose=False)
    mixing, features, attention, bn = 12 * 8 * 9, 8 * 9 * 9, 8 * 9, 4 * (12 + 8 * 9)
    assert counted == 5 * 6 * (mixing + features + attention + bn)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 0}, "kernel_size=0"),
        ({"kernel_size": 3.0}, "kernel_size=3.0"),
        ({"kernel_size": 3, "stride": 0}, "stride=0"),
        ({"kernel_size": 3, "act": "SiLU"}, "act='SiLU'"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(RowError, match=message):
        RFAConv(3, 4, **arguments)


def test_function_and_module_are_one():
    op = shake(RFAConv(3, 6, 3, 2)).double().eval()
    x = torch.randn(2, 3, 12, 10, dtype=torch.float64)
    both = op.features(x), op.attention(F.avg_pool2d(x, 3, 2, 1))
    raw = rfaconv(*(rearrange(taps, "b (c n) h w -> b c n h w", n=9) for taps in both), op.conv.weight)
    assert torch.allclose(op.act(op.bn(raw)), op(x), atol=1e-12)
