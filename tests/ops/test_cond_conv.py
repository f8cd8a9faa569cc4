"""CondConv against its equations."""

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st

from akyolo.errors import RowError
from akyolo.ops import cond_conv as file
from akyolo.ops.cond_conv import CondConv, ExpertConv, cond_conv
from tests.helpers.contract import OperatorContract, shake


class TestContract(OperatorContract):
    operator = CondConv
    cases = [
        {"kernel_size": 1, "experts": 1},
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": 2, "stride": 3, "experts": 3},
        {"kernel_size": 4, "experts": 2, "groups": 2, "act": False},
    ]
    in_yolov8n = {"args": (3,), "experts": 3}


def tensors(k, groups=1, experts=3, batch=4, c1=6, c2=4):
    """x, routing, weight and bias, all dimensions different."""
    generator = torch.Generator().manual_seed(k)
    shapes = (batch, c1, 7, 10), (batch, experts), (c2, experts * c1 // groups, k, k), (c2,)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def plain(x, kernel, bias, stride, groups):
    """The plain convolution of ceil(H/stride) outputs whose extra tap, for an even kernel, is below and right."""
    before, after = (kernel.shape[-1] - 1) // 2, kernel.shape[-1] // 2
    return F.conv2d(F.pad(x, (before, after, before, after)), kernel, bias, stride, groups=groups)


def expert(weight, number, experts):
    return rearrange(weight, "o (e i) kh kw -> e o i kh kw", e=experts)[number]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_one_expert_of_routing_1_is_the_plain_convolution(k, stride, groups):
    x, _, weight, bias = tensors(k, groups, experts=1)
    ours = cond_conv(x, torch.ones(4, 1, dtype=torch.float64), weight, bias, stride, groups)
    assert ours.shape[2:] == (-(-7 // stride), -(-10 // stride))
    assert torch.allclose(ours, plain(x, weight, bias, stride, groups), atol=1e-12)


@pytest.mark.parametrize("groups", [1, 2])
def test_each_image_is_convolved_with_its_own_sum_of_experts(groups):
    """The paper's equation, image by image."""
    x, routing, weight, bias = tensors(3, groups)
    ours = cond_conv(x, routing, weight, bias, 2, groups)
    for b in range(4):
        kernel = sum(routing[b, e] * expert(weight, e, 3) for e in range(3))
        assert torch.allclose(ours[b : b + 1], plain(x[b : b + 1], kernel, bias, 2, groups), atol=1e-12)


def test_routing_saturated_on_one_expert_gives_its_convolution():
    op = shake(CondConv(6, 4, 3, experts=3, groups=2)).double()
    x = tensors(3)[0]
    with torch.no_grad():
        op.routing.weight.zero_()
        op.routing.bias.copy_(torch.tensor([-1e3, 1e3, -1e3]))
    assert torch.allclose(op.raw(x), plain(x, expert(op.conv.weight, 1, 3), None, 1, 2), atol=1e-12)


def test_routing_is_the_sigmoid_of_a_linear_layer_of_the_mean():
    op = shake(CondConv(6, 4, 3, 2, experts=3)).double()
    x = tensors(3)[0]
    pooled = F.adaptive_avg_pool2d(x, 1).flatten(1)
    routing = 1 / (1 + torch.exp(-(pooled @ op.routing.weight.T + op.routing.bias)))
    assert torch.allclose(op.raw(x), cond_conv(x, routing, op.conv.weight, None, 2), atol=1e-12)


@given(st.permutations(range(4)), st.integers(1, 3), st.sampled_from([1, 2]))
@settings(max_examples=10, deadline=None)
def test_an_image_does_not_see_the_others_of_its_batch(order, k, groups):
    op = shake(CondConv(6, 4, k, 2, experts=3, groups=groups)).double().eval()
    x = tensors(k)[0]
    out = op(x)
    assert torch.allclose(op(x[order]), out[order], atol=1e-12)
    assert torch.allclose(torch.cat([op(image[None]) for image in x]), out, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_captured_graph_means_the_same_in_values_and_gradients(k, groups, monkeypatch):
    results = []
    for captured in (False, True):
        monkeypatch.setattr(file, "captures_a_graph", lambda captured=captured: captured)
        leaves = [leaf.requires_grad_() for leaf in tensors(k, groups)]
        out = cond_conv(*leaves, stride=2, groups=groups)
        (out * torch.arange(out.numel(), dtype=torch.float64).view_as(out)).sum().backward()
        results.append([out, *(leaf.grad for leaf in leaves)])
    for eager, graph in zip(*results, strict=True):
        assert torch.allclose(eager, graph, rtol=1e-12, atol=1e-9)


def test_a_batch_of_0_gives_gradients_of_zero():
    x, routing, weight, bias = tensors(3, batch=0)
    cond_conv(x, routing, weight.requires_grad_(), bias).sum().backward()
    assert not weight.grad.any()


def test_fuse_folds_the_bn_and_the_routing_does_not_scale_its_bias():
    from ultralytics.utils.torch_utils import fuse_conv_and_bn

    op = shake(CondConv(6, 4, 3, 2, experts=3, groups=2)).double().eval()
    x = tensors(3)[0]
    expected = op(x)
    op.conv = fuse_conv_and_bn(op.conv, op.bn)
    assert torch.allclose(op.forward_fuse(x), expected, atol=1e-12)


@pytest.mark.parametrize("again", [False, True])
def test_each_expert_starts_as_a_convolution_of_its_own(again):
    torch.manual_seed(0)
    conv = ExpertConv(8, 16, 3, 1, experts=16, groups=2)
    if again:
        conv.reset_parameters()
    bound = (4 * 3 * 3) ** -0.5  # of the uniform distribution that a plain convolution starts with
    assert 0.99 * bound < conv.weight.abs().max() <= bound


def test_it_counts_as_one_convolution_and_the_routing():
    import thop

    x = torch.randn(1, 8, 10, 12)
    counted, _ = thop.profile(CondConv(8, 12, 3, 2, experts=5, groups=4, act=False), inputs=(x,), verbose=False)
    convolution, bn = 12 * 5 * 6 * (8 // 4) * 9, 12 * 5 * 6 * 4
    assert counted == convolution + bn + 8 * 5


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_parameters_are_experts_routing_and_bn(k, experts, groups, wide1, wide2):
    c1, c2 = groups * wide1, groups * wide2
    op = CondConv(c1, c2, k, experts=experts, groups=groups)
    expected = experts * c2 * c1 // groups * k * k + experts * (c1 + 1) + 2 * c2
    assert sum(p.numel() for p in op.parameters()) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 0}, "kernel_size=0"),
        ({"kernel_size": 3, "stride": 1.5}, "stride=1.5"),
        ({"kernel_size": 3, "experts": 0}, "experts=0"),
        ({"kernel_size": 3, "groups": True}, "groups=True"),
        ({"kernel_size": 3, "groups": 3}, "groups=3 must divide the 4 channels"),
        ({"kernel_size": 3, "groups": 4}, "groups=4 must divide the 6 channels"),
        ({"kernel_size": 3, "act": "SiLU"}, "act='SiLU'"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(RowError, match=message):
        CondConv(6, 4, **arguments)


def test_function_and_module_are_one():
    op = shake(CondConv(6, 4, 3, 2, experts=3, groups=2)).double().eval()
    x = tensors(3)[0]
    routing = torch.sigmoid(op.routing(x.mean((2, 3))))
    raw = cond_conv(x, routing, op.conv.weight, None, 2, 2)
    assert torch.allclose(op.act(op.bn(raw)), op(x), atol=1e-12)
