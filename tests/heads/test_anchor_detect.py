"""The heads as modules: what upstream reads, outputs, biases, folding, pickling, export."""

import copy
import io
import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from akyolo.errors import RowError
from akyolo.heads import AnchorDetect, IDetect
from akyolo.heads.anchors import decode
from akyolo.heads.losses import AnchorCriterion
from akyolo.registry import operator
from akyolo.upstream_blocks import Detect

CHANNELS, NC = (6, 9), 3
ANCHORS = [[10, 13, 16, 30], [33, 23, 30, 61]]


def a_head(kind=AnchorDetect, nc=NC, seed=0):
    torch.manual_seed(seed)
    head = kind(CHANNELS, nc, ANCHORS)
    head.stride = torch.tensor([8.0, 16.0])
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.5)
    return head


def features(h=4, w=6, batch=2, dtype=torch.float32, seed=1):
    generator = torch.Generator().manual_seed(seed)
    sizes = ((h, w), (h // 2, w // 2))
    return [
        torch.randn(batch, c, *size, generator=generator).to(dtype) for c, size in zip(CHANNELS, sizes, strict=True)
    ]


@pytest.fixture(params=[AnchorDetect, IDetect])
def kind(request):
    return request.param


def test_it_is_a_head_of_upstream(kind):
    head = a_head(kind)
    assert isinstance(head, Detect) and operator(kind.__name__).module is kind
    assert operator(kind.__name__).stands_in == "Detect"
    assert (head.nc, head.nl, head.na, head.no) == (3, 2, 2, 8)
    assert not head.end2end and len(head.cv2) == 0
    assert torch.zeros(2).equal(kind(CHANNELS, NC, ANCHORS).stride)
    assert head.anchors_px.tolist()[1] == [[33, 23], [30, 61]] and "anchors_px" in head.state_dict()
    plain = sum(2 * 8 * (c + 1) for c in CHANNELS)
    implicit = sum(c + 2 * 8 for c in CHANNELS) if kind is IDetect else 0
    assert sum(p.numel() for p in head.parameters()) == plain + implicit


@pytest.mark.parametrize("nc", [0, -1, True, 2.0, "3", None])
def test_impossible_class_counts_are_refused(nc):
    with pytest.raises(RowError, match=r"nc=.* must be a whole number of at least 1"):
        AnchorDetect(CHANNELS, nc, ANCHORS)


def test_anchors_of_another_number_of_levels_are_refused():
    with pytest.raises(RowError, match="anchors for 1 levels, but the head gets 2"):
        IDetect(CHANNELS, NC, ANCHORS[:1])


def expected_output(head, x, level):
    conv = head.convs[level]
    if isinstance(head, IDetect):
        x = x + head.implicit_add[level]
    y = torch.einsum("oc,bchw->bohw", conv.weight[..., 0, 0], x) + conv.bias[:, None, None]
    if isinstance(head, IDetect):
        y = y * head.implicit_mul[level]
    return y.unflatten(1, (head.na, head.no)).permute(0, 1, 3, 4, 2)


def test_outputs_by_mode(kind):
    head, x = a_head(kind), features()
    preds = head.train()(x)
    assert [maps.shape for maps in preds["raw"]] == [(2, 2, 4, 6, 8), (2, 2, 2, 3, 8)]
    assert all(a is b for a, b in zip(preds["feats"], x, strict=True))
    for level, maps in enumerate(preds["raw"]):
        torch.testing.assert_close(maps, expected_output(head, x[level], level))
    y, evaluated = head.eval()(x)
    assert y.shape == (2, 4 + NC, 2 * 4 * 6 + 2 * 2 * 3)
    assert all(map(torch.equal, evaluated["raw"], preds["raw"]))
    head.export = True
    assert torch.equal(head(x), y)
    head.xyxy = True
    corners = head(x)
    torch.testing.assert_close((corners[:, :2] + corners[:, 2:4]) / 2, y[:, :2])
    torch.testing.assert_close(corners[:, 2:4] - corners[:, :2], y[:, 2:4])
    assert torch.equal(corners[:, 4:], y[:, 4:])


def test_predictions_are_ordered_by_level_anchor_row_column():
    head = a_head().eval()
    y, preds = head(features())
    for (level, a, row, column), position in {
        (0, 0, 0, 1): 1,
        (0, 1, 3, 2): 24 + 18 + 2,
        (1, 1, 1, 2): 48 + 6 + 5,
    }.items():
        maps = preds["raw"][level]
        box = decode(maps, head.anchors_px[level], head.stride[level])[:, a, row, column]
        scores = maps[:, a, row, column, 4:].sigmoid()
        torch.testing.assert_close(y[..., position], torch.cat((box, scores[:, :1] * scores[:, 1:]), 1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_decoded_in_float32(dtype):
    head = a_head().to(dtype).eval()
    y, preds = head(features(dtype=dtype))
    assert y.dtype == dtype
    assert head.decode_predictions(preds["raw"]).dtype == torch.float32
    whole = copy.deepcopy(head).float().decode_predictions([maps.float() for maps in preds["raw"]])
    assert torch.equal(y[:, :4], whole[..., :4].transpose(1, 2).to(dtype))


def test_biases_start_at_few_objects(kind):
    head = a_head(kind)
    before = [conv.bias.detach().clone() for conv in head.convs]
    head.bias_init()
    margin = 0.99 if kind is IDetect else 0.99999
    for conv, bias, stride in zip(head.convs, before, (8, 16), strict=True):
        added = (conv.bias - bias).view(head.na, head.no)[0]
        expected = [0.0] * 4 + [math.log(8 * stride**2 / 640**2)] + [math.log(0.6 / (NC - margin))] * NC
        torch.testing.assert_close(added, torch.tensor(expected), atol=1e-5, rtol=0)


def test_one_class_starts_near_certainty(kind):
    head = a_head(kind, nc=1)
    nn.init.zeros_(head.convs[0].bias)
    head.bias_init()
    assert 0.98 < head.convs[0].bias.view(2, 6)[0, 5].sigmoid() < 1


def test_folding_changes_nothing():
    head, x = a_head(IDetect).double().eval(), features(dtype=torch.float64)
    before, _ = head(x)
    assert len(list(head.undecayed_parameters())) == 4
    head.fuse()
    after, _ = head(x)
    assert not list(head.undecayed_parameters()) and not [k for k in head.state_dict() if "implicit" in k]
    torch.testing.assert_close(after, before, rtol=1e-10, atol=1e-10)
    head.fuse()
    assert torch.equal(head(x)[0], after)
    again = pickle.loads(pickle.dumps(head))
    assert torch.equal(again(x)[0], after)


def test_the_plain_head_has_nothing_to_fold():
    head, x = a_head().eval(), features()
    before, _ = head(x)
    head.fuse()
    assert torch.equal(head(x)[0], before)


def test_the_implicit_parameters_start_at_no_change():
    torch.manual_seed(0)
    head = IDetect((400, 500), 80, ANCHORS)
    for add, mul in zip(head.implicit_add, head.implicit_mul, strict=True):
        assert add.mean().abs() < 0.005 and 0.015 < add.std() < 0.025
        assert (mul.mean() - 1).abs() < 0.008 and 0.015 < mul.std() < 0.025
    ours = set(map(id, head.undecayed_parameters()))
    assert ours == {id(p) for name, p in head.named_parameters() if "implicit" in name}


def test_the_criterion_is_the_heads(kind):
    head = a_head(kind)
    args = SimpleNamespace(
        box=0.05,
        obj=1.0,
        cls=0.5,
        anchor_t=4.0,
        fl_gamma=0.0,
        cls_smoothing=0.0,
        cls_pos_weight=1.0,
        obj_pos_weight=1.0,
        imgsz=48,
    )
    criterion = head.build_criterion(SimpleNamespace(args=args))
    assert isinstance(criterion, AnchorCriterion) and criterion.head is head and criterion.args is args
    assert criterion.head.ota == (kind is IDetect)
    batch = {
        "batch_idx": torch.tensor([0.0, 1.0]),
        "cls": torch.tensor([[2.0], [0.0]]),
        "bboxes": torch.tensor([[0.4, 0.5, 0.3, 0.6], [0.7, 0.3, 0.5, 0.5]]),
        "img": torch.zeros(2, 3, 32, 48),
    }
    loss, items = criterion(head.train()(features()), batch)
    loss.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())
    assert all(item > 0 for item in items.values())
    validated, _ = criterion(head.eval()(features()), batch)
    assert validated.isfinite().all()


def test_pickling_copying_and_state(kind):
    head, x = a_head(kind).eval(), features()
    expected, _ = head(x)
    for again in (copy.deepcopy(head), pickle.loads(pickle.dumps(head))):
        assert torch.equal(again(x)[0], expected)
    other = a_head(kind, seed=5).eval()
    assert not torch.equal(other(x)[0], expected)
    other.load_state_dict(head.state_dict())
    assert torch.equal(other(x)[0], expected)


class Wired(nn.Module):
    """The head behind one input per level, as an exporter wants it."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, fine, coarse):
        return self.head([fine, coarse])


def exported(kind):
    head = a_head(kind).eval()
    head.fuse()
    head.export = True
    return Wired(head).eval().requires_grad_(False)


@pytest.mark.parametrize("opset", [16, 18])
def test_onnx_with_free_sizes_equals_torch(kind, opset):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    model, buffer = exported(kind), io.BytesIO()
    axes = {name: {0: "batch", 2: f"{name}_h", 3: f"{name}_w"} for name in ("fine", "coarse")}
    names = {
        "input_names": ["fine", "coarse"],
        "output_names": ["y"],
        "dynamic_axes": {**axes, "y": {0: "batch", 2: "n"}},
    }
    torch.onnx.export(model, tuple(features()), buffer, opset_version=opset, dynamo=False, **names)
    session = onnxruntime.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    for x in (features(), features(6, 10, batch=3)):
        (y,) = session.run(None, {name: value.numpy() for name, value in zip(("fine", "coarse"), x, strict=True)})
        np.testing.assert_allclose(y, model(*x).numpy(), rtol=1e-4, atol=1e-4)


def test_torchscript_trace_equals_torch(kind):
    model = exported(kind)
    traced = torch.jit.trace(model, tuple(features()))
    for x in (features(), features(6, 10, batch=3)):
        torch.testing.assert_close(traced(*x), model(*x))


@pytest.mark.slow
def test_torch_export_with_free_sizes_equals_torch():
    model = exported(AnchorDetect)
    batch, h, w = (torch.export.Dim(name, min=2, max=64) for name in ("batch", "h", "w"))
    shapes = ({0: batch, 2: 2 * h, 3: 2 * w}, {0: batch, 2: h, 3: w})
    program = torch.export.export(model, tuple(features()), dynamic_shapes=shapes)
    for x in (features(), features(6, 10, batch=3)):
        torch.testing.assert_close(program.module()(*x), model(*x))
