"""DeformConv and ModulatedDeformConv against their equations, torchvision's kernel and the plain convolution."""

import copy
from itertools import product

import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from akyolo.errors import RowError
from akyolo.ops import deform_conv as module
from akyolo.ops.deform_conv import (
    DeformConv,
    ModulatedDeformConv,
    deform_by_sampling,
    deform_by_torchvision,
    deform_conv,
)
from akyolo.upstream_blocks import Conv
from tests.helpers.contract import OperatorContract, shake

BOTH = pytest.mark.parametrize("operator", [DeformConv, ModulatedDeformConv])
CASES = [
    {"kernel_size": 1},
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": 2, "stride": 3},
    {"kernel_size": 3, "dilation": 2, "act": False},
    {"kernel_size": 4, "stride": 2, "groups": 2, "offset_groups": 2},
]


class TestDeformConv(OperatorContract):
    operator = DeformConv
    cases = CASES
    in_yolov8n = {"args": (3,)}


class TestModulatedDeformConv(OperatorContract):
    operator = ModulatedDeformConv
    cases = CASES
    in_yolov8n = {"args": (3,)}


def plain(x, conv, stride, dilation, groups):
    """The k x k convolution with ceil(H/stride) outputs; an even kernel has its extra tap below and right."""
    reach = dilation * (conv.shape[-1] - 1)
    before, after = reach // 2, reach - reach // 2
    return F.conv2d(F.pad(x, (before, after, before, after)), conv, None, stride, 0, dilation, groups)


@BOTH
@pytest.mark.parametrize(
    ("k", "stride", "dilation", "groups"), [*product((1, 2, 3, 5), (1, 2, 3), (1, 2), (1,)), (3, 2, 1, 2), (2, 3, 2, 4)]
)
def test_a_new_one_is_the_plain_convolution(operator, k, stride, dilation, groups):
    torch.manual_seed(0)
    op = operator(4, 8, k, stride, dilation, groups, 2).double()
    x = torch.randn(2, 4, 11, 14, dtype=torch.float64)
    expected = plain(x, op.conv.weight, stride, dilation, groups)
    share = 1 if operator is DeformConv else 0.5
    assert torch.allclose(op.raw(x), share * expected, atol=1e-12)
    shake(op)
    for part in (op.offset_conv, *([op.mask_conv] if operator is ModulatedDeformConv else [])):
        part.reset_parameters()
    expected = plain(x, op.conv.weight, stride, dilation, groups)
    assert torch.allclose(op.raw(x), share * expected, atol=1e-12)


def test_a_mask_of_ones_is_no_mask():
    x, offset, weight, _, _ = drawn(c1=4, c2=5, k=3, stride=2, dilation=1, groups=1, parts=2)
    ones = torch.ones(2, 2 * 9, *offset.shape[-2:], dtype=torch.float64)
    assert torch.equal(deform_conv(x, offset, weight, stride=2, mask=ones), deform_conv(x, offset, weight, stride=2))


def drawn(c1, c2, k, stride, dilation, groups, parts, size=(9, 14), dtype=torch.float64):
    """x, offset, weight, bias, mask; offsets some pixels wide, beyond every border."""
    generator = torch.Generator().manual_seed(0)
    h, w = (-(-length // stride) for length in size)
    shapes = (2, c1, *size), (2, 2 * parts * k * k, h, w), (c2, c1 // groups, k, k), (c2,), (2, parts * k * k, h, w)
    values = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    values[1] *= 3
    values[4] = values[4].sigmoid()
    return [value.to(dtype) for value in values]


def with_gradients(realisation, values, stride, dilation):
    leaves = [None if value is None else value.clone().requires_grad_() for value in values]
    x, offset, weight, bias, mask = leaves
    y = realisation(x, offset, weight, bias, stride, dilation * (weight.shape[-1] - 1) // 2, dilation, mask)
    cotangent = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(y.dtype)
    return [y, *torch.autograd.grad(y, [leaf for leaf in leaves if leaf is not None], cotangent)]


@given(
    k=st.integers(1, 4),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2, 6]),
    parts=st.sampled_from([1, 2, 3]),
    masked=st.booleans(),
    whole=st.booleans(),
    channels_last=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_the_sampler_and_torchvision_agree(k, stride, dilation, groups, parts, masked, whole, channels_last):
    """Whole offsets too, where slopes have two sides: both take the one to the right."""
    values = drawn(6, 12, k, stride, dilation, groups, parts)
    if whole:
        values[1] = values[1].round()
    if not masked:
        values[4] = None
    if channels_last:
        values[0] = values[0].to(memory_format=torch.channels_last)
    ours, theirs = (with_gradients(f, values, stride, dilation) for f in (deform_by_sampling, deform_by_torchvision))
    for found, expected in zip(ours, theirs, strict=True):
        assert torch.allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("k", "dilation", "padding", "h", "w"), [(3, 1, 0, 7, 12), (3, 2, 5, 15, 20), (2, 1, 1, 10, 15)]
)
def test_padding_is_what_stands_above_and_left(k, dilation, padding, h, w):
    x, _, weight, bias, _ = drawn(4, 5, k, 1, dilation, 1, 1)
    offset = torch.zeros(2, 2 * k * k, h, w, dtype=torch.float64)
    expected = F.conv2d(x, weight, bias, 1, padding, dilation)
    assert expected.shape[-2:] == (h, w)
    for realisation in (deform_conv, deform_by_torchvision):
        found = realisation(x, offset, weight, bias, 1, padding, dilation, None)
        assert torch.allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("realisation", [deform_by_sampling, deform_by_torchvision])
@pytest.mark.parametrize(("dy", "dx"), [(1, 0), (0, 2), (-3, 1)])
def test_an_offset_of_whole_pixels_shifts_the_input(dy, dx, realisation):
    x, offset, weight, _, _ = drawn(4, 5, 3, 1, 1, 1, 2)
    offset[:, ::2], offset[:, 1::2] = dy, dx
    around = F.pad(x, (4, 4, 4, 4))
    shifted = around[..., 4 + dy - 1 : 4 + dy + 10, 4 + dx - 1 : 4 + dx + 15]
    found = realisation(x, offset, weight, None, 1, 1, 1, None)
    assert torch.allclose(found, F.conv2d(shifted, weight), atol=1e-12)


@pytest.mark.parametrize("realisation", [deform_by_sampling, deform_by_torchvision])
def test_a_tap_moves_alone_row_before_column(realisation):
    x, offset, weight, _, _ = drawn(4, 5, 3, 1, 1, 1, 1)
    offset.zero_()
    offset[:, 2 * (2 * 3 + 0)] = 1  # the row of tap (2, 0)
    offset[:, 2 * (0 * 3 + 1) + 1] = -2  # the column of tap (0, 1)
    moved = torch.zeros(5, 4, 4, 4, dtype=torch.float64)  # rows -1..2, columns -2..1 about the output
    moved[..., :3, 1:] = weight
    moved[..., 2, 1] -= weight[..., 2, 0]
    moved[..., 3, 1] += weight[..., 2, 0]
    moved[..., 0, 2] -= weight[..., 0, 1]
    moved[..., 0, 0] += weight[..., 0, 1]
    expected = F.conv2d(F.pad(x, (2, 1, 1, 2)), moved)
    assert torch.allclose(realisation(x, offset, weight, None, 1, 1, 1, None), expected, atol=1e-12)


@pytest.mark.parametrize("realisation", [deform_by_sampling, deform_by_torchvision])
@pytest.mark.parametrize("part", [0, 1, 2])
def test_offset_groups_and_masks_act_on_their_channels_only(part, realisation):
    x, offset, weight, bias, mask = drawn(6, 5, 3, 2, 1, 1, 3)
    before = realisation(x, offset, weight, bias, 2, 1, 1, mask)
    offset[:, 18 * part : 18 * (part + 1)] += 1.5
    mask[:, 9 * part : 9 * (part + 1)] *= 0.5
    after = realisation(x, offset, weight, bias, 2, 1, 1, mask)
    assert (after - before).abs().amax() > 0.1
    x[:, 2 * part : 2 * (part + 1)] = 0  # what they act on
    after = realisation(x, offset, weight, bias, 2, 1, 1, mask)
    offset, mask = drawn(6, 5, 3, 2, 1, 1, 3)[1::3]
    assert torch.allclose(after, realisation(x, offset, weight, bias, 2, 1, 1, mask), atol=1e-12)


@pytest.mark.parametrize("realisation", [deform_by_sampling, deform_by_torchvision])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_a_non_finite_offset_gives_nan_there(wrong, realisation):
    x, offset, weight, bias, mask = drawn(4, 5, 3, 1, 1, 1, 1)
    offset[1, 7, 3, 4] = wrong
    y = realisation(x, offset, weight, bias, 1, 1, 1, mask)
    assert y[1, :, 3, 4].isnan().all() and y.isnan().sum() == 5


@pytest.mark.parametrize("realisation", [deform_by_sampling, deform_by_torchvision])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_blended_in_float32(dtype, realisation):
    """Columns up to 299 and fractions of pixels, which no 16 bits hold."""
    x, offset, weight, bias, mask = drawn(4, 5, 3, 1, 1, 1, 1, size=(5, 300), dtype=dtype)
    arguments = [value.double() for value in (x, offset, weight, bias)]
    y = realisation(x, offset, weight, bias, 1, 1, 1, mask)
    expected = deform_by_sampling(*arguments, 1, 1, 1, mask.double())
    assert y.dtype == dtype
    assert (y.double() - expected).norm() < 5 * torch.finfo(dtype).eps * expected.norm()


@pytest.mark.parametrize("realisation", [deform_by_sampling, deform_by_torchvision])
def test_offsets_of_half_precision_move_a_map_of_single(realisation):
    """As under autocast, where the map may come from outside."""
    x, offset, weight, bias, mask = drawn(4, 5, 3, 2, 1, 1, 1, dtype=torch.float32)
    expected = realisation(x, offset.bfloat16().float(), weight, bias, 2, 1, 1, mask.bfloat16().float())
    found = realisation(x, offset.bfloat16(), weight, bias, 2, 1, 1, mask.bfloat16())
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("device", "capturing", "chosen"),
    [
        ("cpu", False, "deform_by_sampling"),
        ("mps", False, "deform_by_sampling"),
        ("cuda", False, "deform_by_torchvision"),
        ("cuda", True, "deform_by_sampling"),
    ],
)
def test_one_realisation_per_device(device, capturing, chosen, monkeypatch):
    class Elsewhere:
        """As much of a map as the choice needs, on a device that need not be there."""

    x = Elsewhere()
    x.device = torch.device(device)
    called = []
    for name in ("deform_by_sampling", "deform_by_torchvision"):
        monkeypatch.setattr(module, name, lambda *_, name=name: called.append(name))
    monkeypatch.setattr(module, "captures_a_graph", lambda: capturing)
    deform_conv.__wrapped__(x, None, torch.ones(1, 1, 3, 3))
    assert called == [chosen]


@BOTH
def test_weights_of_a_trained_convolution_fit(operator):
    conv, op = shake(Conv(4, 6, 3, 2)), operator(4, 6, 3, 2)
    keys = op.load_state_dict(conv.state_dict(), strict=False)
    assert not keys.unexpected_keys
    x = torch.randn(2, 4, 9, 14)
    if operator is DeformConv:
        assert {key.split(".")[0] for key in keys.missing_keys} == {"offset_conv"}
        assert torch.allclose(op.eval()(x), conv.eval()(x), atol=1e-5)
    else:  # half of the convolution, whose BN does not fit
        assert {key.split(".")[0] for key in keys.missing_keys} == {"offset_conv", "mask_conv", "bn"}
        assert torch.allclose(op.raw(x), conv.conv(x) / 2, atol=1e-5)
        assert torch.equal(op.bn.running_var, torch.ones(6))


@pytest.mark.parametrize("of", ["offset_conv", "mask_conv"])
def test_dilation_is_that_of_offsets_and_mask_too(of):
    op = shake(ModulatedDeformConv(4, 6, 3, dilation=2))
    x = torch.randn(1, 4, 9, 11, requires_grad=True)
    getattr(op, of)(x)[0, :, 4, 5].sum().backward()
    rows, columns = ((x.grad[0].abs().sum((0, axis)) > 0).nonzero().flatten().tolist() for axis in (2, 1))
    assert (rows, columns) == ([2, 4, 6], [3, 5, 7])


# the contract's channels have no common divisor
GROUPED = {"kernel_size": 3, "stride": 2, "groups": 2, "offset_groups": 4}


@pytest.mark.slow
@BOTH
def test_gradcheck_with_groups(operator):
    op = shake(operator(4, 2, **GROUPED)).double().eval()
    x = torch.randn(2, 4, 4, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64, requires_grad=True)
    inputs = (x, *op.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: op(x), inputs, atol=1e-5, rtol=1e-4)


@BOTH
def test_memory_formats_agree_with_groups(operator):
    results = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        op = shake(operator(4, 6, **GROUPED)).double()
        x = torch.randn(2, 4, 9, 14, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        out = op(x.to(memory_format=memory_format).requires_grad_())
        assert out.is_contiguous(memory_format=memory_format)
        results.append([out, *torch.autograd.grad(out.square().sum(), op.parameters())])
    for contiguous, channels_last in zip(*results, strict=True):
        assert torch.allclose(contiguous, channels_last, atol=1e-9)


@BOTH
def test_onnx_with_groups_at_another_size(operator, tmp_path):
    op = shake(operator(4, 6, **GROUPED)).eval()
    axes = {"x": {0: "batch", 2: "height", 3: "width"}}
    torch.onnx.export(
        op, torch.randn(1, 4, 9, 14), tmp_path / "op.onnx", input_names=["x"], dynamic_axes=axes, dynamo=False,
        opset_version=18,
    )  # fmt: skip
    x = torch.randn(2, 4, 12, 7, generator=torch.Generator().manual_seed(6))
    session = onnxruntime.InferenceSession(tmp_path / "op.onnx", providers=["CPUExecutionProvider"])
    found = torch.from_numpy(session.run(None, {"x": x.numpy()})[0])
    assert torch.allclose(found, op(x).detach(), atol=1e-4)


@BOTH
@pytest.mark.parametrize("kernel_size", [2, 3])
def test_fuse_folds_the_bn(operator, kernel_size):
    from ultralytics.utils.torch_utils import fuse_conv_and_bn

    op = shake(operator(4, 6, kernel_size, 2, 1, 2, 2)).eval()
    x = torch.randn(2, 4, 12, 9)
    expected = op(x)
    op.conv = fuse_conv_and_bn(op.conv, op.bn)
    assert op.conv.bias is not None
    assert torch.allclose(op.forward_fuse(x), expected, atol=1e-5)


@BOTH
def test_offset_parameters_are_those_that_say_where_to_look(operator):
    op = operator(4, 6, 3, offset_groups=2)
    named = {id(parameter): name for name, parameter in op.named_parameters()}
    expected = {"offset_conv.weight", "offset_conv.bias"}
    if operator is ModulatedDeformConv:
        expected |= {"mask_conv.weight", "mask_conv.bias"}
    assert {named[id(parameter)] for parameter in op.offset_parameters()} == expected


@BOTH
def test_profilers_count_the_product_and_the_convolutions_beside_it(operator):
    from akyolo.cost import cost

    op = operator(4, 6, 3, 2, groups=2, act=False)
    op.bn = torch.nn.Identity()
    beside = 18 if operator is DeformConv else 27
    per_output = 9 * 4 // 2 * 6 + 9 * 4 * beside
    assert cost(op, 12, 9, channels=4).gflops == pytest.approx(2 * 6 * 5 * per_output / 1e9, rel=1e-12)


@BOTH
def test_in_blocks(operator):
    from akyolo.upstream.build import build_detector

    rows = {
        "nc": 3,
        "backbone": [[-1, 1, "Conv", [8, 3, 2]], [-1, 2, f"C2f({operator.__name__})", [12, True, {"kernel_size": 3}]]],
    }
    model = build_detector(copy.deepcopy(rows) | {"head": [[[1], 1, "Detect", ["nc"]]]})
    assert sum(isinstance(part, operator) for part in model.modules()) == 2


@BOTH
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 0}, "kernel_size=0 must be a whole number of at least 1"),
        ({"kernel_size": 2.5}, "kernel_size=2.5"),
        ({"kernel_size": 3, "stride": 0}, "stride=0"),
        ({"kernel_size": 3, "dilation": 0}, "dilation=0"),
        ({"kernel_size": 3, "groups": True}, "groups=True"),
        ({"kernel_size": 3, "groups": 4}, "groups=4 must divide the 6 channels"),
        ({"kernel_size": 3, "groups": 3}, "groups=3 must divide the 8 channels"),
        ({"kernel_size": 3, "offset_groups": 4}, "offset_groups=4 must divide the 6 channels"),
        ({"kernel_size": 3, "offset_groups": 0}, "offset_groups=0"),
        ({"kernel_size": 3, "act": "SiLU"}, "act='SiLU' must be true or false"),
    ],
)
def test_refused_arguments(operator, arguments, message):
    with pytest.raises(RowError, match=message):
        operator(6, 8, **arguments)
