"""Fabricated state dicts of YOLOv5 and YOLOv7 load into our models."""

import re

import pytest
import torch

from akyolo import YOLO
from akyolo.cli import main
from akyolo.errors import CheckpointError
from akyolo.upstream.build import build_detector
from akyolo.upstream.model_yaml import read_model_yaml
from akyolo.upstream.weights.original_weights import import_weights

CLASSES = 4
ANCHORS = torch.tensor([[[8.0, 16], [24, 20]], [[32, 64], [60, 48]], [[128, 96], [160, 200]]])
STRIDES = torch.tensor([8.0, 16, 32])


def yolov5_shapes(width=16):
    """Some names and shapes as the repository prints them, scale n by default."""
    return {
        "model.0.conv.weight": (width, 3, 6, 6),
        "model.0.bn.running_var": (width,),
        "model.2.cv1.conv.weight": (width, 2 * width, 1, 1),
        "model.2.m.0.cv2.conv.weight": (width, width, 3, 3),
        "model.6.m.2.cv2.bn.weight": (4 * width,),
        "model.9.cv2.conv.weight": (16 * width, 32 * width, 1, 1),
        "model.18.conv.weight": (4 * width, 4 * width, 3, 3),
        "model.24.anchors": (3, 2, 2),
        "model.24.m.0.weight": (2 * (5 + CLASSES), 4 * width, 1, 1),
        "model.24.m.2.bias": (2 * (5 + CLASSES),),
    }


YOLOV7_SHAPES = {
    "model.0.conv.weight": (32, 3, 3, 3),
    "model.5.conv.weight": (32, 32, 3, 3),
    "model.35.conv.weight": (256, 1024, 1, 1),
    "model.37.bn.bias": (256,),
    "model.76.conv.weight": (512, 256, 3, 3),
    "model.77.anchors": (3, 2, 2),
    "model.77.anchor_grid": (3, 1, 2, 1, 1, 2),
    "model.77.m.1.weight": (2 * (5 + CLASSES), 256, 1, 1),
    "model.77.ia.0.implicit": (1, 128, 1, 1),
    "model.77.im.2.implicit": (1, 2 * (5 + CLASSES), 1, 1),
}
CASES = {"yolov5n.yaml": yolov5_shapes(), "yolov5s.yaml": yolov5_shapes(32), "yolov7-tiny.yaml": YOLOV7_SHAPES}


def fabricate(name, file):
    """Write random weights of our model under the original names; return the model."""
    torch.manual_seed(0)
    model = build_detector({**read_model_yaml(name), "nc": CLASSES, "anchors": ANCHORS.flatten(1).tolist()}).eval()
    for key, value in model.state_dict().items():
        if value.is_floating_point() and "anchors" not in key:
            value.copy_(torch.rand(value.shape) * 0.2 + 0.05)
    head = len(model.model) - 1
    original = {}
    for key, value in model.state_dict().items():
        theirs = re.sub(rf"^model\.{head}\.convs\.", f"model.{head}.m.", key)
        theirs = re.sub(rf"^model\.{head}\.implicit_(a|m)\w+\.(\d)$", rf"model.{head}.i\1.\2.implicit", theirs)
        original[theirs.replace("anchors_px", "anchors")] = value
    original[f"model.{head}.anchors"] = ANCHORS / STRIDES[:, None, None]
    if name.startswith("yolov7"):
        original[f"model.{head}.anchor_grid"] = ANCHORS.view(3, 1, -1, 1, 1, 2)
    torch.save(original, file)
    return model, original


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if i else ()) for i, name in enumerate(CASES)]
)
def test_a_round_trip_gives_the_same_predictions(name, in_tmp, capsys):
    model, original = fabricate(name, in_tmp / "state.pt")
    for key, shape in CASES[name].items():
        assert tuple(original[key].shape) == shape, key
    main(["import", "weights", "state.pt"])
    said = capsys.readouterr().out
    assert f"state.pt: {name}, {CLASSES} classes" in said and "state-akyolo.pt" in said
    imported = YOLO("state-akyolo.pt").model.eval()
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        ours, theirs = model(x)[0], imported(x)[0]
    assert torch.equal(ours, theirs) and ours.shape[1] == 4 + CLASSES
    assert torch.equal(imported.model[-1].anchors_px, ANCHORS)
    assert imported.state_dict().keys() == model.state_dict().keys()


def test_what_is_read_is_reported(in_tmp):
    _, original = fabricate("yolov7-tiny.yaml", in_tmp / "state.pt")
    imported = import_weights(in_tmp / "state.pt")
    assert imported.tensors == len(original) - 1  # anchor_grid says nothing new
    assert imported.renamed == 3 * (2 + 1 + 1) + 1  # weight and bias, ia, im of three levels, and the anchors


def test_half_precision_is_read_as_float32(in_tmp):
    _, original = fabricate("yolov5n.yaml", in_tmp / "state.pt")
    torch.save(
        {key: value.half() if value.is_floating_point() else value for key, value in original.items()}, "half.pt"
    )
    imported = import_weights(in_tmp / "half.pt").model
    assert {value.dtype for value in imported.parameters()} == {torch.float32}


class Payload:
    """An object that runs code when it is unpickled."""

    def __reduce__(self):
        return (open, ("ran", "w"))


def without(original, key):
    return {name: value for name, value in original.items() if name != key}


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda o: {**o, "code": Payload()}, [], "not a state dict"),
        (lambda o: {"model": o}, [], "other than tensors by name"),
        (lambda o: {**o, 3: torch.ones(1)}, [], "other than tensors by name"),
        (lambda o: {**o, "model.24.anchors": torch.ones(3, 0, 2)}, [], "holds no anchors"),
        (
            lambda o: {**o, "model.0.conv.weight": torch.ones(())},
            [],
            "belongs to an architecture that akyolo does not have",
        ),
        (lambda o: o, ["--model", "best.pt"], "is not a model YAML"),
        (lambda o: [1], [], "other than tensors by name"),
        (lambda o: without(o, "model.24.anchors"), [], "holds no anchors"),
        (lambda o: {k: v for k, v in o.items() if not k.startswith("model.24")}, [], "no head of YOLOv5 or YOLOv7"),
        (lambda o: without(o, "model.9.cv1.conv.weight"), [], "1 of 348 tensors are missing, model.9.cv1.conv.weight"),
        (lambda o: {**o, "model.3.extra": torch.ones(1)}, [], "are unknown to it, model.3.extra"),
        (lambda o: o, ["--model", "yolov5s.yaml"], "is not yolov5s.yaml: "),
        (lambda o: o, ["--model", "yolov5s.yaml"], "model.0.conv.weight [16, 3, 6, 6], not [32, 3, 6, 6]"),
        (lambda o: o, ["--model", "yolov5z.yaml"], "there is no model file"),
        (lambda o: o, ["-o", "state.pt"], "already exists"),
        (lambda o: o, ["-o", "missing/out.pt"], "there is no folder 'missing'"),
        (lambda o: o, ["-o", "out.onnx"], "must end in .pt"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_written(in_tmp, capsys, change, options, message):
    _, original = fabricate("yolov5n.yaml", in_tmp / "state.pt")
    torch.save(change(original), in_tmp / "state.pt")
    before = sorted(in_tmp.iterdir())
    with pytest.raises(SystemExit) as stopped:
        main(["import", "weights", "state.pt", *options])
    assert stopped.value.code == 2 and message in capsys.readouterr().err
    assert sorted(in_tmp.iterdir()) == before


def test_a_missing_file_is_named(in_tmp):
    with pytest.raises(CheckpointError, match=r"there is no file 'nope\.pt'"):
        import_weights(in_tmp.relative_to(in_tmp) / "nope.pt")
