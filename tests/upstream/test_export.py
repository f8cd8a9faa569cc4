"""Checkpoints in fresh processes, and exports in real runtimes."""

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import akyolo
from akyolo.errors import ConfigError
from akyolo.ops.akconv import AKConv
from tests.helpers.tiny_training import arguments, write_images, write_model

pytestmark = pytest.mark.training

OFFSET_SPREAD = 2.0  # pixels


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a checkpoint of a tiny training, with non-zero offsets, and its folder."""
    folder = tmp_path_factory.mktemp("trained")
    model = akyolo.YOLO(write_model(folder))
    model.train(**arguments(folder, data=write_images(folder, 8, 4), epochs=1, val=False))
    generator = torch.Generator().manual_seed(0)
    for module in model.model.modules():
        if isinstance(module, AKConv):
            fan_in = module.offset_conv.weight[0].numel()
            spread = torch.randn(module.offset_conv.weight.shape, generator=generator) * OFFSET_SPREAD / fan_in**0.5
            module.offset_conv.weight.data = spread
            module.offset_conv.bias.data = torch.randn(module.offset_conv.bias.shape, generator=generator)
    path = folder / "model.pt"
    model.save(path)
    return path


def fresh(code, environment=None):
    import os

    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


USE = """
model = YOLO({path!r})
assert type(model.model.model[1]).__module__ == "akyolo"
model.val(data={data!r}, imgsz=64, workers=0, plots=False, project={folder!r})
model.predict({image!r}, imgsz=64, project={folder!r}, save=True)
model.export(format="torchscript", imgsz=64)
print("used")
"""


@pytest.mark.parametrize(
    ("start", "environment"),
    [
        ("from ultralytics import YOLO", {}),
        ("import akyolo\nfrom ultralytics import YOLO", {"ULTRALYTICS_SAFE_LOAD": "1"}),
        ("from akyolo import YOLO", {"ULTRALYTICS_SAFE_LOAD": "1"}),
    ],
    ids=["plain", "safe after import", "ours safe"],
)
def test_a_checkpoint_is_used_in_a_fresh_process(start, environment, trained, tmp_path):
    folder = trained.parent
    image = str(next((folder / "data" / "images" / "val").iterdir()))
    copied = tmp_path / "model.pt"
    copied.write_bytes(trained.read_bytes())
    use = USE.format(path=str(copied), data=str(folder / "data.yaml"), image=image, folder=str(tmp_path))
    assert "used" in fresh(f"{start}\n{use}", environment)


def test_plain_ultralytics_continues_from_our_checkpoint(trained, tmp_path):
    settings = arguments(tmp_path, data=str(trained.parent / "data.yaml"), epochs=1, val=False)
    fresh(f"from ultralytics import YOLO\nYOLO({str(trained)!r}).train(**{settings!r})")


def test_fuse_leaves_no_bn_in_our_operators(trained):
    model = akyolo.YOLO(trained).model.eval()
    x = torch.rand(2, 3, 64, 96)
    before = model(x)[0]
    model.fuse(verbose=False)
    ours = [m for m in model.modules() if isinstance(m, AKConv)]
    assert ours and not any(isinstance(part, nn.BatchNorm2d) for m in ours for part in m.modules())
    assert torch.allclose(model(x)[0], before, rtol=1e-3, atol=1e-3)


def reference(path, x):
    with torch.no_grad():
        return akyolo.YOLO(path).model.float().eval()(torch.from_numpy(x))[0].numpy()


def relative_difference(ours, theirs):
    return np.abs(ours - theirs).max() / np.abs(ours).max()


@pytest.fixture
def exportable(trained, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(trained.read_bytes())
    return path


def images(batch, height, width):
    return np.random.default_rng(0).random((batch, 3, height, width), dtype=np.float32)


@pytest.mark.parametrize(
    ("options", "shapes"),
    [
        ({}, [(1, 64, 64)]),
        ({"opset": 16}, [(1, 64, 64)]),
        ({"dynamic": True}, [(1, 64, 64), (3, 96, 128), (2, 128, 64)]),
    ],
    ids=["static", "opset 16", "dynamic"],
)
def test_onnx_in_onnxruntime(options, shapes, exportable):
    import onnxruntime

    file = akyolo.YOLO(exportable).export(format="onnx", imgsz=64, **options)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for shape in shapes:
        x = images(*shape)
        (theirs,) = session.run(None, {session.get_inputs()[0].name: x})
        assert relative_difference(reference(exportable, x), theirs) <= 1e-3


def test_torchscript_with_another_size(exportable):
    file = akyolo.YOLO(exportable).export(format="torchscript", imgsz=64, dynamic=True)
    script = torch.jit.load(file)
    for shape in [(1, 64, 64), (2, 96, 128)]:
        x = images(*shape)
        assert relative_difference(reference(exportable, x), script(torch.from_numpy(x)).numpy()) <= 1e-3


def test_openvino(exportable):
    openvino = pytest.importorskip("openvino", reason="the extra akyolo[openvino] is not installed")
    folder = Path(akyolo.YOLO(exportable).export(format="openvino", imgsz=64))
    compiled = openvino.Core().compile_model(
        str(next(folder.glob("*.xml"))), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    x = images(1, 64, 64)
    (theirs,) = compiled(x).values()
    assert relative_difference(reference(exportable, x), theirs) <= 1e-3


def test_an_opset_without_gridsample_is_refused(exportable):
    with pytest.raises(ConfigError, match="opset=15 is too old for AKConv"):
        akyolo.YOLO(exportable).export(format="onnx", imgsz=64, opset=15)


def test_a_missing_package_is_named_with_its_extra(exportable, monkeypatch):
    from akyolo.upstream.arguments import packages as optional

    monkeypatch.setattr(optional, "find_spec", lambda name: None if name == "onnx" else copy)
    with pytest.raises(ConfigError, match=r"onnx needs the package onnx, .*\n.*pip install 'akyolo\[export\]'"):
        akyolo.YOLO(exportable).export(format="onnx")
