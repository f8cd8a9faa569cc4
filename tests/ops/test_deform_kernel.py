"""Deformable kernels against their equations, and against the convolutions that they become."""

import math

import pytest
import torch
import torch.nn.functional as F
import torchvision.ops as tv
from einops import rearrange, repeat
from hypothesis import given, settings
from hypothesis import strategies as st

from akyolo.cost import cost
from akyolo.errors import RowError
from akyolo.layers import sampled_kernels
from akyolo.ops.deform_kernel import DeformKernel, DeformKernelConv, deform_kernel, deform_kernel_conv
from akyolo.ops.global_deform_kernel import GlobalDeformKernel, global_deform_kernel
from akyolo.registry import operator
from tests.helpers.contract import OperatorContract, shake

LOCAL = [DeformKernel, DeformKernelConv]
ALL = [*LOCAL, GlobalDeformKernel]


class TestGlobal(OperatorContract):
    operator = GlobalDeformKernel
    cases = [
        {"kernel_size": 3},
        {"kernel_size": 1, "scope": 2, "groups": 1, "stride": 2},
        {"kernel_size": 3, "scope": 5, "stride": 3, "act": False},
    ]
    in_yolov8n = {"args": (3,)}


class TestLocal(OperatorContract):
    operator = DeformKernel
    cases = [
        {"kernel_size": 1, "scope": 2},
        {"kernel_size": 3},
        {"kernel_size": 3, "scope": 3, "stride": 2},
        {"kernel_size": 3, "scope": 5, "dilation": 2, "clip": False, "stride": 3, "groups": 1, "rotation_groups": 2},
    ]
    in_yolov8n = {"args": (3,)}


class TestWithOffsets(OperatorContract):
    operator = DeformKernelConv
    cases = [
        {"kernel_size": 1, "scope": 2, "groups": 1, "clip": False},
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": 3, "scope": 5, "dilation": 2, "stride": 3, "act": False, "rotation_groups": 2},
    ]
    in_yolov8n = {"args": (3,)}


class TestRotationGroups:
    @pytest.mark.parametrize("kind", LOCAL)
    def test_they_act_on_their_channels_only(self, kind):
        op = shake(kind(6, 6, 3, rotation_groups=3)).double()
        x = torch.randn(2, 6, 7, 8, dtype=torch.float64)
        before = op.raw(x)
        with torch.no_grad():
            op.rotation_conv.bias[18:36] += 0.4  # the second group
        changed = ((op.raw(x) - before).abs() > 1e-6).any(-1).any(-1).any(0)
        assert changed.tolist() == [False, True, False, False, True, False]

    def test_each_output_samples_its_own_weights_by_its_group(self):
        rotation, weight = torch.randn(2, 3 * 18, 4, 5), torch.randn(6, 2, 5, 5)
        kernels = sampled_kernels(rotation, weight, rotation_groups=3)
        for o in range(6):
            mine = rotation[:, 18 * (o % 3) : 18 * (o % 3) + 18]
            assert torch.allclose(kernels[:, o : o + 1], sampled_kernels(mine, weight[o : o + 1]), atol=1e-6)


def test_parts_of_the_channels_may_have_offsets_of_their_own():
    """And each is moved by its own only: depthwise, so that parts do not mix."""
    x, rotation, weight = torch.randn(2, 6, 9, 14), torch.randn(2, 18, 5, 7), torch.randn(6, 1, 4, 4)
    offset = torch.randn(2, 3 * 18, 5, 7) * 3
    found = deform_kernel_conv(x, offset, rotation, weight, stride=2, groups=6)
    for part in range(3):
        mine = slice(2 * part, 2 * part + 2)
        own = offset[:, 18 * part : 18 * part + 18]
        expected = deform_kernel_conv(x[:, mine], own, rotation, weight[mine], stride=2, groups=2)
        assert torch.allclose(found[:, mine], expected, atol=1e-5)


@pytest.mark.parametrize("of", ["offset_conv", "rotation_conv"])
def test_dilation_is_that_of_offsets_and_rotations_too(of):
    op = shake(DeformKernelConv(4, 6, 3, dilation=2))
    x = torch.randn(1, 4, 9, 11, requires_grad=True)
    getattr(op, of)(x)[0, :, 4, 5].sum().backward()
    rows, columns = ((x.grad[0].abs().sum((0, axis)) > 0).nonzero().flatten().tolist() for axis in (2, 1))
    assert (rows, columns) == ([2, 4, 6], [3, 5, 7])


def centred(weight, k):
    """The k x k kernel in the middle of the scope; where that lies between weights, their average."""
    scope = weight.shape[-1]
    if (scope - k) % 2:
        weight = F.avg_pool2d(weight, 2, 1)
    cut = (weight.shape[-1] - k) // 2
    return weight[..., cut : cut + k, cut : cut + k]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(("k", "scope"), [(3, 3), (3, 4), (3, 5), (3, 6), (3, 9), (1, 2), (1, 3), (5, 6)])
@pytest.mark.parametrize(
    ("c1", "c2", "groups", "stride"), [(6, 6, None, 1), (6, 4, None, 2), (3, 7, 1, 1), (4, 8, 4, 2)]
)
def test_a_new_one_is_the_plain_convolution_with_the_middle_of_the_scope(kind, k, scope, c1, c2, groups, stride):
    torch.manual_seed(0)
    op = kind(c1, c2, k, stride, scope=scope, groups=groups).double()
    x = torch.randn(2, c1, 11, 8, dtype=torch.float64)
    groups = groups or math.gcd(c1, c2)
    expected = F.conv2d(x, centred(op.conv.weight, k), None, stride, k // 2, 1, groups)
    assert torch.allclose(op.raw(x), expected, atol=1e-12)


@pytest.mark.parametrize("kind", LOCAL)
@pytest.mark.parametrize("dilation", [2, 3])
def test_dilation_is_that_of_a_convolution(kind, dilation):
    op = kind(4, 4, 3, 2, 5, dilation).double()
    x = torch.randn(2, 4, 11, 8, dtype=torch.float64)
    expected = F.conv2d(x, centred(op.conv.weight, 3), None, 2, dilation, dilation, 4)
    assert torch.allclose(op.raw(x), expected, atol=1e-12)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("step", [(0, 1), (1, 0), (-1, 1)])
def test_a_rotation_of_whole_steps_is_the_shifted_kernel(kind, step):
    op = kind(4, 4, 3, scope=5).double()
    generator = op.rotation_linear if kind is GlobalDeformKernel else op.rotation_conv
    with torch.no_grad():
        generator.bias.copy_(torch.tensor(step * 9))
    x = torch.randn(2, 4, 7, 8, dtype=torch.float64)
    y, x_ = 1 + step[0], 1 + step[1]
    expected = F.conv2d(x, op.conv.weight[..., y : y + 3, x_ : x_ + 3], None, 1, 1, 1, 4)
    assert torch.allclose(op.raw(x), expected, atol=1e-12)


def ramp(scope):
    """Weights that are where they stand: row in the first output, column in the second; always 1 in the third."""
    rows = torch.arange(scope, dtype=torch.float64).expand(scope, scope).T
    return torch.stack((rows, rows.T, torch.ones_like(rows)))[:, None]


@given(st.integers(0, 10**6), st.sampled_from([1, 3, 5]), st.integers(0, 4))
@settings(max_examples=25, deadline=None)
def test_positions_are_tap_plus_rotation_plus_half_of_what_the_scope_has_more(seed, k, more):
    scope = k + more
    generator = torch.Generator().manual_seed(seed)
    rotation = 3 * torch.randn(2, 2 * k * k, 3, 4, generator=generator, dtype=torch.float64)
    rows, columns, ones = sampled_kernels(rotation, ramp(scope)).unbind(1)
    moved = rearrange(rotation, "b (n yx) h w -> yx b 1 n h w", yx=2)
    u, v = ((index + more / 2).double() for index in (torch.arange(k * k) // k, torch.arange(k * k) % k))
    assert torch.allclose(rows, (moved[0] + u.view(-1, 1, 1)).clamp(0, scope - 1), atol=1e-12)
    assert torch.allclose(columns, (moved[1] + v.view(-1, 1, 1)).clamp(0, scope - 1), atol=1e-12)
    assert torch.allclose(ones, torch.ones_like(ones))


def test_without_clip_the_scope_ends_in_zeros():
    rotation = torch.zeros(1, 2, 1, 4)
    rotation[0, 0, 0] = torch.tensor([-1.0, -1.5, 1.25, 9.0])  # from 1, the middle of 3 rows
    kernels = sampled_kernels(rotation, torch.ones(1, 1, 3, 3), clip=False).flatten()
    assert torch.allclose(kernels, torch.tensor([1.0, 0.5, 0.75, 0.0]))


def test_clip_stops_the_slope_beyond_the_scope_only():
    """In a scope as large as the kernel taps start at the limits: they must be able to leave."""
    rotation = torch.tensor([-0.6, -0.5, 0.2, 0.5, 0.6]).expand(1, 2, 1, 5).contiguous().requires_grad_()
    sampled_kernels(rotation, torch.tensor([[0.0, 2.0], [1.0, 3.0]])[None, None]).sum().backward()
    # from the middle of 2 x 2, in both directions at once: along the diagonal, at its end towards zero
    assert torch.allclose(rotation.grad[0, :, 0], torch.tensor([[0.0, 1, 1, -3, 0], [0, 2, 2, -3, 0]]))


@pytest.mark.parametrize(("k", "groups"), [(3, 6), (3, 1), (1, 1)])
def test_every_image_has_its_own_kernel(k, groups):
    op = shake(GlobalDeformKernel(6, 6, k, scope=k + 1, groups=groups)).double()
    x = torch.randn(3, 6, 7, 8, dtype=torch.float64) + torch.randn(3, 6, 1, 1, dtype=torch.float64)
    order = [2, 0, 1]
    assert torch.allclose(op.raw(x)[order], op.raw(x[order]), atol=1e-12)
    for number in range(3):
        assert torch.allclose(op.raw(x)[number], op.raw(x[number : number + 1])[0], atol=1e-12)
    rotation = op.rotation_linear(x.mean((2, 3)))
    kernels = sampled_kernels(rotation[..., None, None], op.conv.weight)
    assert (kernels[0] - kernels[1]).abs().max() > 0.01


@pytest.mark.parametrize(("c1", "c2", "groups"), [(6, 6, 6), (6, 4, 2), (3, 7, 1)])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (2, 2)])
def test_the_same_rotation_everywhere_is_the_global_kernel(c1, c2, groups, stride, dilation):
    torch.manual_seed(0)
    x, weight = torch.randn(2, c1, 9, 8, dtype=torch.float64), torch.randn(c2, c1 // groups, 5, 5, dtype=torch.float64)
    rotation = torch.randn(2, 18, dtype=torch.float64)
    h, w = -(-9 // stride), -(-8 // stride)
    everywhere = repeat(rotation, "b n -> b n h w", h=h, w=w)
    local = deform_kernel(x, everywhere, weight, stride, dilation, groups)
    assert torch.allclose(local, global_deform_kernel(x, rotation, weight, stride, dilation, groups), atol=1e-12)


@pytest.mark.parametrize(("c1", "c2", "groups"), [(6, 6, 6), (6, 4, 2), (3, 7, 1)])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (2, 2)])
def test_offsets_without_rotation_are_a_deformable_convolution(c1, c2, groups, stride, dilation):
    torch.manual_seed(0)
    x, weight = torch.randn(2, c1, 9, 8, dtype=torch.float64), torch.randn(c2, c1 // groups, 5, 5, dtype=torch.float64)
    offset = 2 * torch.randn(2, 18, -(-9 // stride), -(-8 // stride), dtype=torch.float64)
    out = deform_kernel_conv(x, offset, torch.zeros_like(offset), weight, stride, dilation, groups)
    expected = tv.deform_conv2d(x, offset, centred(weight, 3), None, stride, dilation, dilation)
    assert torch.allclose(out, expected, atol=1e-12)


@pytest.mark.parametrize("rotation_groups", [1, 2])
def test_rotations_without_offset_are_a_deformable_kernel(rotation_groups):
    torch.manual_seed(0)
    op = shake(DeformKernelConv(6, 4, 3, 2, 5, 2, rotation_groups=rotation_groups)).double()
    torch.nn.init.zeros_(op.offset_conv.weight)
    torch.nn.init.zeros_(op.offset_conv.bias)
    local = DeformKernel(6, 4, 3, 2, 5, 2, rotation_groups=rotation_groups).double()
    local.load_state_dict({key: value for key, value in op.state_dict().items() if "offset" not in key})
    x = torch.randn(2, 6, 9, 8, dtype=torch.float64)
    assert torch.allclose(op.raw(x), local.raw(x), atol=1e-12)


@pytest.mark.parametrize("kind", ALL)
def test_they_restart_without_deformation(kind):
    op = shake(kind(4, 4, 3))
    movers = list(op.offset_parameters())
    assert {id(p) for p in movers} == {
        id(p) for name, p in op.named_parameters() if name.startswith(("rotation", "offset"))
    }
    for module in op.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    assert not any(p.any() for p in movers)


@pytest.mark.parametrize("kind", ALL)
def test_the_scope_starts_like_a_convolution_with_as_many_taps(kind):
    torch.manual_seed(0)
    scope = kind(64, 64, 3, scope=6, groups=2).conv
    plain = torch.nn.Conv2d(64, 64, 3, groups=2)
    scope.reset_parameters()
    assert scope.weight.std().item() == pytest.approx(plain.weight.std().item(), rel=0.05)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(("k", "scope"), [(1, 2), (3, 4)])
def test_a_global_1x1_is_counted_as_it_is_and_others_by_their_scope(kind, k, scope):
    op = kind(4, 6, k, scope=scope, groups=2, act=False)
    op.bn = torch.nn.Identity()
    product = 7 * 8 * 6 * 2 * (1 if kind is GlobalDeformKernel and k == 1 else scope**2)
    per_convolution = 7 * 8 * 4 * k**2 * 2 * k**2
    moves = {GlobalDeformKernel: 4 * 2 * k**2, DeformKernel: per_convolution, DeformKernelConv: 2 * per_convolution}
    assert cost(op, 7, 8, channels=4).gflops == pytest.approx(2e-9 * (product + moves[kind]))


@pytest.mark.parametrize("kind", ALL)
def test_it_stands_in_for_a_depthwise_convolution_of_a_block(kind):
    activation = torch.nn.ReLU()
    op = operator(kind.__name__).build(activation, 6, 6, 3, 2, groups=6)
    assert op.act is activation and op(torch.randn(2, 6, 9, 8)).shape == (2, 6, 5, 4)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 0}, "at least 1"),
        ({"kernel_size": 2}, "kernel_size=2 must be odd"),
        ({"kernel_size": 3, "stride": 0}, "stride=0"),
        ({"kernel_size": 3, "scope": 2}, "scope=2 must be at least kernel_size=3"),
        ({"kernel_size": 3, "scope": 3.5}, "scope=3.5"),
        ({"kernel_size": 3, "groups": 4}, "groups=4 must divide the 6 channels"),
        ({"kernel_size": 3, "groups": 3}, "groups=3 must divide"),
        ({"kernel_size": 3, "groups": True}, "groups=True"),
        ({"kernel_size": 3, "act": "SiLU"}, "act='SiLU'"),
    ],
)
def test_impossible_arguments_are_refused(kind, arguments, message):
    with pytest.raises(RowError, match=message):
        kind(6, 8, **arguments)


@pytest.mark.parametrize("kind", LOCAL)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dilation": 0}, "dilation=0"),
        ({"rotation_groups": 3}, "rotation_groups=3 must divide the 8 channels"),
        ({"rotation_groups": 0}, "rotation_groups=0"),
        ({"clip": "scope"}, "clip='scope'"),
    ],
)
def test_impossible_arguments_of_local_kernels_are_refused(kind, arguments, message):
    with pytest.raises(RowError, match=message):
        kind(6, 8, 3, **arguments)


def test_function_and_module_are_one():
    x = torch.randn(2, 4, 9, 8)
    local = shake(DeformKernel(4, 8, 3, 2, 5, 2, 2, 2, False)).eval()
    raw = deform_kernel(x, local.rotation_conv(x), local.conv.weight, 2, 2, 2, 2, False)
    assert torch.allclose(local.act(local.bn(raw)), local(x), atol=1e-5)
    both = shake(DeformKernelConv(4, 8, 3, 2, 5, 2, 2, 2, False)).eval()
    raw = deform_kernel_conv(x, both.offset_conv(x), both.rotation_conv(x), both.conv.weight, 2, 2, 2, 2, False)
    assert torch.allclose(both.act(both.bn(raw)), both(x), atol=1e-5)
    image = shake(GlobalDeformKernel(4, 8, 3, 2, 5, 2)).eval()
    raw = global_deform_kernel(x, image.rotation_linear(x.mean((2, 3))), image.conv.weight, 2, 1, 2)
    assert torch.allclose(image.act(image.bn(raw)), image(x), atol=1e-5)


@pytest.mark.parametrize("kind", ALL)
def test_a_batch_of_0_has_gradients(kind):
    op = kind(3, 4, 3)
    op.raw(torch.zeros(0, 3, 8, 9)).sum().backward()
    assert not op.conv.weight.grad.any()


@pytest.mark.parametrize("kind", LOCAL)
def test_under_autocast_what_is_kept_is_half_and_what_is_added_up_is_not(kind):
    op = shake(kind(4, 4, 3))
    with torch.no_grad():  # moves that rounding takes to no other weight or pixel
        for name, p in op.named_parameters():
            p.mul_(0.01 if name.endswith("_conv.weight") else 1)
    x = torch.randn(2, 4, 9, 8).bfloat16().requires_grad_()
    kept = []
    keep = torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor)
    with keep, torch.autocast("cpu", torch.bfloat16):
        out = op.raw(x)
    assert {tensor.dtype for tensor in kept if tensor.numel() >= 9 * out.numel()} == {torch.bfloat16}
    out.float().sum().backward()
    exact = x.detach().double().requires_grad_()
    op.double().raw(exact).sum().backward()
    assert out.dtype == x.grad.dtype == torch.bfloat16
    assert torch.allclose(x.grad.double(), exact.grad, atol=0.02 * float(exact.grad.abs().max()))
