"""An operator inside the bottlenecks of upstream's CSP blocks."""

import copy
import io

import onnxruntime
import pytest
import torch

from akyolo import YOLO
from akyolo.errors import RowError
from akyolo.ops.akconv import AKConv
from akyolo.upstream_blocks import Bottleneck, Conv
from tests.helpers.contract import shake

MODEL = """
nc: 3
backbone:
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [32, 3, 2]]
  - [-1, 2, {block}, [48, {args}]]
head:
  - [[2], 1, Detect, [nc]]
"""
BLOCKS = {
    "C3": "True",
    "C2f": "False",
    "C3k2": "False",  # bottlenecks of its own
    "C3k2 of C3k": "True",  # bottlenecks inside of C3k blocks inside of it
    "C3k2 with attention": "False, 0.5, True",  # bottlenecks each before an attention block
}


def build(folder, block, args="", operator="AKConv", keywords="num_param: 3, shape: [[0, 0], [0, 1], [2, 0]]"):
    inside = f"{block.split()[0]}({operator})" if operator else block.split()[0]
    written = ", ".join([args or BLOCKS[block], *(["{" + keywords + "}"] if operator else [])])
    file = folder / "blocks.yaml"
    file.write_text(MODEL.format(block=inside, args=written))
    return YOLO(str(file)).model


@pytest.mark.parametrize("block", BLOCKS)
def test_the_second_convolution_of_every_bottleneck_is_replaced_and_nothing_else(block, in_tmp):
    ours, plain = build(in_tmp, block), build(in_tmp, block, operator=None)
    bottlenecks = {name for name, module in plain.named_modules() if isinstance(module, Bottleneck)}
    assert len(bottlenecks) == (4 if block.endswith("C3k") else 2)
    for name, module in plain.named_modules():
        if isinstance(module, Conv):
            replaced = name.removesuffix(".cv2") in bottlenecks and name.endswith(".cv2")
            there = ours.get_submodule(name)
            assert isinstance(there, AKConv) == replaced
            assert (there.conv.in_channels, there.conv.out_channels) == (
                module.conv.in_channels,
                module.conv.out_channels,
            )
            assert not replaced or (there.shape == ((0, 0), (0, 1), (2, 0)) and there.stride == 1)
    assert type(ours.model[2]) is type(plain.model[2])
    assert ours.model[2].type == f"{plain.model[2].type}(AKConv)"
    assert ours.model[2].np == sum(p.numel() for p in ours.model[2].parameters())


@pytest.mark.parametrize("block", ["C3", *(pytest.param(block, marks=pytest.mark.slow) for block in list(BLOCKS)[1:])])
def test_trains_fuses_pickles_and_traces(block, in_tmp):
    model = build(in_tmp, block)
    shake(model.model[:3], seed=3)
    x = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    model.train()
    sum(level.square().mean() for level in model(x)["feats"]).backward()
    inside = [module for module in model.modules() if isinstance(module, AKConv)]
    assert all(module.offset_conv.weight.grad.abs().sum() > 0 for module in inside)
    model.zero_grad()
    model.eval()
    body = model.model[:3]
    expected = body(x)
    fused = copy.deepcopy(model).fuse(verbose=False).model[:3]
    assert not [name for name, module in fused.named_modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert torch.allclose(fused(x), expected, atol=1e-4 * float(expected.abs().max()))
    file = io.BytesIO()
    torch.save(body, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(x), expected)
    with torch.no_grad():
        traced = torch.jit.trace(body, x)
        assert torch.allclose(traced(x[..., :64]), body(x[..., :64]), atol=1e-4 * float(expected.abs().max()))


@pytest.mark.slow
@pytest.mark.parametrize("block", ["C3", "C2f"])
def test_exports_to_onnx_for_any_size(block, in_tmp):
    model = build(in_tmp, block).eval()
    shake(model.model[:3], seed=3)
    x = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    sizes = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    torch.onnx.export(model.model[:3].eval(), (x,), "body.onnx", opset_version=18, dynamo=True, dynamic_shapes=[sizes])
    session = onnxruntime.InferenceSession("body.onnx", providers=["CPUExecutionProvider"])
    for given in (x, torch.randn(1, 3, 128, 64, generator=torch.Generator().manual_seed(1))):
        (theirs,) = session.run(None, {session.get_inputs()[0].name: given.numpy()})
        with torch.no_grad():
            ours = model.model[:3](given)
        assert torch.allclose(torch.from_numpy(theirs), ours, atol=1e-3 * float(ours.abs().max()))


def test_the_activation_of_the_model_reaches_inside(in_tmp):
    file = in_tmp / "leaky.yaml"
    text = MODEL.format(block="C3(AKConv)", args="{num_param: 2}")
    file.write_text("activation: nn.LeakyReLU(0.1)\n" + text)
    inside = [m for m in YOLO(str(file)).model.modules() if isinstance(m, AKConv)]
    assert inside and all(isinstance(m.act, torch.nn.LeakyReLU) for m in inside)


def test_its_own_activation_wins(in_tmp):
    model = build(in_tmp, "C3", keywords="num_param: 2, act: false")
    assert {type(m.act) for m in model.modules() if isinstance(m, AKConv)} == {torch.nn.Identity}


def test_an_operator_with_groups_takes_those_of_the_bottlenecks(in_tmp):
    model = build(in_tmp, "C2f", "True, 2", operator="DeformConv", keywords="kernel_size: 3")
    groups = [bottleneck.cv2.conv.groups for bottleneck in model.modules() if isinstance(bottleneck, Bottleneck)]
    assert groups == [2, 2]
    model = build(in_tmp, "C2f", "True, 2", operator="DeformConv", keywords="kernel_size: 3, groups: 1")
    assert model.model[2].m[0].cv2.conv.groups == 1


def test_the_layer_table_shows_the_operator(in_tmp, caplog):
    file = in_tmp / "table.yaml"
    file.write_text(MODEL.format(block="C2f(AKConv)", args="True, {num_param: 2}"))
    YOLO(str(file), verbose=True)
    (line,) = [r.getMessage() for r in caplog.records if r.getMessage().strip().startswith("2 ")]
    assert "block.C2f(AKConv)" in line and "[32, 48, True, {'num_param': 2}]" in line and line.split()[2] == "2"


@pytest.mark.parametrize(
    ("block", "args", "message"),
    [
        ("C3(AKConf)", "{num_param: 5}", "did you mean 'AKConv'"),
        ("C4(AKConv)", "{num_param: 5}", "'C4' cannot hold an operator"),
        ("C3(Conv)", "{num_param: 5}", "there is no operator 'Conv' for C3"),
        ("C3(AKConv)", "True", "missing a required argument: 'num_param'"),
        ("C3(AKConv)", "{num_parm: 5}", "did you mean 'num_param'?"),
        ("C3(AKConv)", "{num_param: 5, stride: 2}", "stride=2: the block sets stride of the operator"),
        ("C3(AKConv)", "{num_param: 0}", "num_param=0 must be"),
        ("C3(AKConv)", "True, 2, {num_param: 5}", "the bottlenecks have 2 groups, but AKConv has no groups"),
    ],
)
def test_wrong_rows_are_refused_by_file_and_row(block, args, message, in_tmp):
    file = in_tmp / "wrong.yaml"
    file.write_text(MODEL.format(block=block, args=args))
    with pytest.raises(RowError) as refused:
        YOLO(str(file))
    assert message in str(refused.value) and "wrong.yaml, row 2" in str(refused.value)
