"""Blocks whose depthwise and pointwise convolutions a row may replace."""

import copy
import inspect
import io
import re

import onnxruntime
import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.mobilenetv2 import InvertedResidual as TorchvisionInverted
from torchvision.models.resnet import Bottleneck as TorchvisionBottleneck
from ultralytics.nn.tasks import ClassificationModel

from akyolo import registry
from akyolo.blocks import DWBottleneck, InvertedResidual
from akyolo.cost import paper_cost
from akyolo.errors import ConfigError, RowError
from akyolo.model_yaml import grammar
from akyolo.registry import operator
from akyolo.upstream.arguments.packages import check_opset
from akyolo.upstream.model_yaml import read_model_yaml
from akyolo.upstream.weights.warm_start import finish_loading
from akyolo.upstream_blocks import Conv

LOCAL_DK = {"DeformKernel": {"scope": 4}}
MODEL = {
    "nc": 3,
    "activation": "nn.ReLU6()",
    "yaml_file": "my.yaml",
    "backbone": [[-1, 1, "Conv", [16, 3, 2]]],
    "head": [[-1, 1, "Classifier", ["nc"]]],
}
CASES = [
    (DWBottleneck, 6, 10, {}),
    (DWBottleneck, 6, 10, {"stride": 2}),
    (DWBottleneck, 10, 10, {}),
    (DWBottleneck, 10, 10, {"stride": 2}),
    (InvertedResidual, 6, 10, {}),
    (InvertedResidual, 6, 10, {"stride": 2}),
    (InvertedResidual, 6, 6, {"expansion": 1}),
    (InvertedResidual, 6, 6, {"expansion": 3}),
    (InvertedResidual, 6, 6, {"stride": 2}),
]


def model_of(*rows):
    cfg = copy.deepcopy(MODEL)
    cfg["backbone"] += [list(row) for row in rows]
    torch.manual_seed(0)
    return ClassificationModel(cfg, verbose=False)


def shake(module):
    """Give every value of a module, BN statistics too, a random one."""
    generator = torch.Generator().manual_seed(3)
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=generator)
            value.detach().copy_(noise.abs() + 0.5 if "var" in name else noise * 0.3)
    return module


def theirs(block, c1, c2, stride=1, expansion=6):
    """The same block in torchvision."""
    if block is InvertedResidual:
        return TorchvisionInverted(c1, c2, stride, expansion)
    width, shortcut = c2 // 2, None
    if stride != 1 or c1 != c2:
        shortcut = nn.Sequential(nn.Conv2d(c1, c2, 1, stride, bias=False), nn.BatchNorm2d(c2))
    planes, base_width = c2 // TorchvisionBottleneck.expansion, 64
    made = TorchvisionBottleneck(c1, planes, stride, shortcut, groups=1, base_width=base_width)
    made.conv1, made.bn1 = nn.Conv2d(c1, width, 1, bias=False), nn.BatchNorm2d(width)
    made.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False)
    made.bn2, made.conv3 = nn.BatchNorm2d(width), nn.Conv2d(width, c2, 1, bias=False)
    made.bn3 = nn.BatchNorm2d(c2)
    return made


def take(model, other):
    """Give `model` the values of `other`, in the order in which both hold them."""
    values = other.state_dict().values()
    keys = model.state_dict().keys()
    model.load_state_dict(dict(zip(keys, values, strict=True)))
    return model


@pytest.mark.parametrize(("block", "c1", "c2", "case"), CASES)
def test_values_and_gradients_are_those_of_torchvision(block, c1, c2, case):
    act = nn.ReLU() if block is DWBottleneck else nn.ReLU6()
    expected = shake(theirs(block, c1, c2, **case)).double().train()
    ours = take(block(c1, c2, act=act, **case).double(), expected).train()
    x = torch.randn(2, c1, 9, 14, dtype=torch.float64)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [module(given) for module, given in zip((ours, expected), inputs, strict=True)]
    assert outputs[0].shape == (2, c2, *(-(-side // case.get("stride", 1)) for side in (9, 14)))
    assert torch.allclose(*outputs)
    for out in outputs:
        (out * torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view(out.shape)).sum().backward()
    assert torch.allclose(inputs[0].grad, inputs[1].grad)
    for mine, other in zip(ours.parameters(), expected.parameters(), strict=True):
        assert torch.allclose(mine.grad, other.grad)


@pytest.mark.parametrize(("name", "reference"), [("mobilenetv2.yaml", "mobilenet_v2"), ("resnet50.yaml", "resnet50")])
def test_the_whole_models_are_those_of_torchvision(name, reference):
    expected = getattr(torchvision.models, reference)().eval()
    cfg = read_model_yaml(name)
    ours = take(ClassificationModel(cfg, verbose=False), expected).eval()
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        assert torch.allclose(ours(x)[1], expected(x), atol=1e-4)


@pytest.mark.parametrize(("block", "c1", "c2", "case"), CASES)
def test_the_docstring_counts_the_parameters(block, c1, c2, case):
    formula = re.search(r"Parameters: ([^:]+):", inspect.getdoc(block))[1]
    bound = inspect.signature(block).bind(c1, c2, **case)
    bound.apply_defaults()
    made = block(*bound.args, **bound.kwargs)
    assert sum(p.numel() for p in made.parameters()) == eval(formula, {}, bound.arguments)


# operators in their places


def test_each_keyword_reaches_its_convolutions_and_no_other():
    ours = {"depthwise": LOCAL_DK, "pointwise": {"CondConv": {"experts": 3}}}
    model = model_of([-1, 1, "DWBottleneck", [32, 2, ours]], [-1, 1, "InvertedResidual", [24, ours]]).model
    kinds = {name: type(m).__name__ for block in model[1:3] for name, m in block.named_children()}
    assert kinds == {
        "conv1": "CondConv",
        "depthwise": "DeformKernel",
        "conv3": "CondConv",
        "shortcut": "Conv",
        "act": "ReLU6",
        "expand": "CondConv",
        "project": "CondConv",
    }
    for block, linear in ((model[1], "conv3"), (model[2], "project")):
        for name, module in block.named_children():
            if hasattr(module, "bn"):
                assert isinstance(module.act, nn.Identity if name in (linear, "shortcut") else nn.ReLU6)
    plain = model_of([-1, 1, "DWBottleneck", [32, 2]], [-1, 1, "InvertedResidual", [24, {"depthwise": "Conv"}]]).model
    for block, width in ((plain[1], 16), (plain[2], 192)):
        conv = block.depthwise.conv
        assert type(block.depthwise) is Conv and conv.groups == conv.in_channels == conv.out_channels == width


def test_a_name_alone_is_the_operator_with_its_defaults():
    named, mapped, empty = (
        model_of([-1, 1, "InvertedResidual", [24, {"depthwise": written}]]).model[1].state_dict()
        for written in ("DeformKernel", {"DeformKernel": {"scope": 4}}, {"DeformKernel": None})
    )
    shapes = [{key: value.shape for key, value in state.items()} for state in (named, mapped, empty)]
    assert shapes[0] == shapes[1] == shapes[2]


def test_repeats_are_blocks_in_a_row():
    model = model_of([-1, 1, "DWBottleneck", [32]], [-1, 3, "DWBottleneck", [32, {"depthwise": LOCAL_DK}]]).model
    assert len(model[2]) == 3 and model[2].np == 3 * sum(p.numel() for p in model[2][0].parameters())
    assert all(isinstance(block.shortcut, nn.Identity) for block in model[2])


def test_the_layer_table_shows_the_block(caplog):
    cfg = copy.deepcopy(MODEL)
    cfg["backbone"].append([-1, 1, "DWBottleneck", [32, 2, {"depthwise": LOCAL_DK}]])
    ClassificationModel(cfg, verbose=True)
    lines = [record.getMessage() for record in caplog.records]
    (line,) = [line for line in lines if line.strip().startswith("1 ")]
    assert "blocks.depthwise_bottleneck.DWBottleneck" in line
    assert "[16, 32, 2, {'depthwise': {'DeformKernel': {'scope': 4}}}]" in line
    (line,) = [line for line in lines if line.strip().startswith("2 ")]
    assert "heads.classifier.Classifier" in line and "[32, 3]" in line


@pytest.mark.slow
def test_trains_fuses_pickles_traces_and_exports(tmp_path):
    ours = {"depthwise": LOCAL_DK, "pointwise": {"GlobalDeformKernel": {"scope": 2, "groups": 1}}}
    model = model_of([-1, 1, "DWBottleneck", [32, 2, ours]], [-1, 1, "InvertedResidual", [24, ours]])
    shake(model.model[1:3])
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()  # magnitudes that all layers keep
    x = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    model.train()(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.model[1:3].parameters())
    expected = model.eval()(x)[0]
    fused = copy.deepcopy(model).fuse(verbose=False)
    assert not [name for name, module in fused.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert torch.allclose(fused(x)[0], expected, atol=1e-4)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(x)[0], expected)
    model.model[-1].export = True
    axes = {"x": {0: "batch", 2: "height", 3: "width"}}
    with torch.no_grad():
        torch.onnx.export(model, x, tmp_path / "m.onnx", input_names=["x"], dynamic_axes=axes, dynamo=False)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    for given in (x, torch.randn(1, 3, 96, 64, generator=torch.Generator().manual_seed(1))):
        (exported,) = session.run(None, {"x": given.numpy()})
        assert torch.allclose(torch.from_numpy(exported), model(given), atol=1e-4)


def test_what_asks_for_operators_sees_those_inside(caplog):
    row = [-1, 1, "InvertedResidual", [24, {"depthwise": LOCAL_DK}]]
    model, plain = model_of(row), model_of([-1, 1, "InvertedResidual", [24]])
    with pytest.raises(ConfigError, match="opset=11 is too old for DeformKernel"):
        check_opset(model, "onnx", 11)
    check_opset(plain, "onnx", 11)
    kept = 2 * model.model[1].depthwise.bn.num_features  # the paper's convention folds the BN of all but operators
    fused = sum(p.numel() for p in copy.deepcopy(model).fuse(verbose=False).parameters())
    assert paper_cost(model, 64, 64).params == fused - kept // 2 + kept
    model.load(plain, verbose=False)
    caplog.clear()
    finish_loading(model, plain)
    assert "no weights fit rows 1.depthwise; they start from random values" in caplog.text


def test_a_pointwise_operator_mixes_all_channels_unless_the_row_says_otherwise():
    for own, groups in (({}, 1), ({"groups": 4}, 4)):
        row = [-1, 1, "DWBottleneck", [32, {"pointwise": {"GlobalDeformKernel": {"scope": 2, **own}}}]]
        assert model_of(row).model[1].conv1.conv.groups == groups


# what is refused


class Dense(nn.Module):
    def __init__(self, c1, c2, kernel_size, stride=1, act=True):
        super().__init__()


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("DWBottleneck", [32, 0], "stride=0 must be"),
        ("DWBottleneck", [0], "output channels 0"),
        ("DWBottleneck", [32, 1, {"depthwize": "Conv"}], "no argument 'depthwize', did you mean 'depthwise'"),
        ("DWBottleneck", [32, 1, {"depthwise": "DeformKernal"}], "not an operator\n  did you mean 'DeformKernel'"),
        ("DWBottleneck", [32, 1, {"depthwise": "C3"}], "depthwise: C3 is not an operator"),
        ("DWBottleneck", [32, 1, {"pointwise": "InvertedResidual"}], "pointwise: InvertedResidual is not an operator"),
        ("DWBottleneck", [32, 1, {"depthwise": "AKConv"}], "AKConv cannot be used here: it does not have kernel_size"),
        ("DWBottleneck", [32, 1, {"depthwise": "Dense"}], "Dense cannot be used here: it does not have groups"),
        ("DWBottleneck", [32, 1, {"depthwise": {"Conv": {"k": 5}}}], "depthwise: Conv takes no arguments here"),
        ("DWBottleneck", [32, 1, {"depthwise": 3}], "depthwise: 3 is not an operator\n  write depthwise: NAME, or"),
        ("DWBottleneck", [32, 1, {"depthwise": {"DeformKernel": 4}}], "is not an operator\n  write depthwise: NAME"),
        ("DWBottleneck", [32, 1, {"depthwise": {"CondConv": {}, "Conv": {}}}], "is not an operator\n  write"),
        (
            "InvertedResidual",
            [32, 1, {"depthwise": {"DeformKernel": {"scop": 4}}}],
            "DeformKernel has no argument 'scop'\n  did you mean 'scope'",
        ),
        ("InvertedResidual", [32, 1, {"depthwise": {"DeformKernel": {"scope": 0}}}], "scope=0"),
        (
            "InvertedResidual",
            [32, 1, {"depthwise": {"CondConv": {"groups": 2}}}],
            "groups of CondConv is set by the block",
        ),
        ("InvertedResidual", [32, 1, {"pointwise": {"CondConv": {"kernel_size": 3}}}], "kernel_size of CondConv is"),
        (
            "InvertedResidual",
            [32, 1, {"pointwise": {"CondConv": {"stride": 2}}}],
            "stride of CondConv is set by the block",
        ),
        (
            "InvertedResidual",
            [32, 1, {"pointwise": {"CondConv": {"act": False}}}],
            "act of CondConv is set by the block",
        ),
        ("InvertedResidual", [32, 1, {"expansion": 0}], "expansion=0 must be"),
        ("InvertedResidual", [32, 1, {"act": "relu"}], "act='relu' must be true or false"),
        ("DWBottleneck", [32, 1, {"act": None}], "act=None must be true or false"),
    ],
)
def test_a_wrong_row_names_file_and_row(name, args, message, monkeypatch):
    monkeypatch.setattr(registry, "_operators", dict(registry._operators))
    registry.register()(Dense)
    with pytest.raises(RowError) as refused:
        model_of([-1, 1, name, args])
    assert str(refused.value).startswith("my.yaml, row 1: ") and message in str(refused.value)


def test_an_odd_number_of_channels_has_no_half():
    """No row comes to this: upstream rounds channels to a multiple of 8."""
    with pytest.raises(RowError, match="c2=33 must be even"):
        DWBottleneck(8, 33)


def test_repeats_that_change_the_channels_are_refused():
    with pytest.raises(RowError, match=r"row 1: 2 repeats of DWBottleneck need as many .*, here 16 and 32"):
        model_of([-1, 2, "DWBottleneck", [32]])


def test_a_list_of_rows_is_refused():
    with pytest.raises(RowError, match=r"row 1: DWBottleneck takes one input row"):
        model_of([[-1], 1, "DWBottleneck", [32]])


def test_grammar_shows_the_keywords():
    assert grammar(operator("InvertedResidual")) == (
        "[c2, stride=1, {expansion: 6, depthwise: Conv, pointwise: Conv, act: true}]"
    )
