"""Classification and semantic segmentation with our operators, in every mode."""

import copy
import csv

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from torch import nn

import akyolo
from akyolo.cli import main
from akyolo.heads import Classifier
from akyolo.registry import operator
from tests.helpers.tiny_training import arguments

DeformKernel, IrregularConv = (operator(name).module for name in ("DeformKernel", "IrregularConv"))
KINDS = 4  # of drawings: a horizontal bar, a vertical bar, both, a ring
# both blocks of the shipped models, of which MobileNet-V2 alone takes three times as long
SMALL = """
nc: 4
activation: nn.ReLU6()
backbone:
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, InvertedResidual, [24, 2, {expansion: 3, depthwise: DeformKernel}]]
  - [-1, 1, InvertedResidual, [24, {expansion: 3, depthwise: DeformKernel}]]
  - [-1, 1, DWBottleneck, [64, 2, {depthwise: DeformKernel}]]
  - [-1, 1, DWBottleneck, [64, {depthwise: DeformKernel}]]
  - [-1, 1, Conv, [96, 1]]
head:
  - [-1, 1, Classifier, [nc]]
"""
AUGMENT_LITTLE = {"hsv_h": 0.0, "hsv_s": 0.0, "hsv_v": 0.0, "scale": 0.1, "translate": 0.0}


def noise(random):
    return random.integers(0, 90, (64, 64, 3), dtype=np.uint8)


def drawing(random, kind):
    """Colour, place and size say nothing of the kind."""
    image, colour = noise(random), random.integers(120, 255, 3).tolist()
    y, x = (int(v) for v in random.integers(20, 44, 2))
    radius = int(random.integers(10, 18))
    if kind in (0, 2):
        cv2.line(image, (x - radius, y), (x + radius, y), colour, 5)
    if kind in (1, 2):
        cv2.line(image, (x, y - radius), (x, y + radius), colour, 5)
    if kind == 3:
        cv2.circle(image, (x, y), radius, colour, 5)
    return image


def write_drawings(folder, train, val, kinds=KINDS):
    random = np.random.default_rng(0)
    for split, count in {"train": train, "val": val}.items():
        for number in range(count):
            file = folder / split / f"kind{number % kinds}" / f"{number:03}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), drawing(random, number % kinds))
    return str(folder)


def write_masks(folder, train, val):
    """Write images with a square or a disc; return the data YAML and the mean IoU of the best constant."""
    random, masks = np.random.default_rng(0), []
    for split, count in {"train": train, "val": val}.items():
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True)
        for number in range(count):
            image, mask, colour = noise(random), np.zeros((64, 64), np.uint8), random.integers(150, 255, 3).tolist()
            y, x = (int(v) for v in random.integers(18, 42, 2))
            for canvas, value in ((image, colour), (mask, 1 + number % 2)):
                if number % 2:
                    cv2.circle(canvas, (x, y), 14, value, -1)
                else:
                    cv2.rectangle(canvas, (x - 14, y - 14), (x + 14, y + 14), value, -1)
            cv2.imwrite(str(folder / "images" / split / f"{number}.png"), image)
            cv2.imwrite(str(folder / "masks" / split / f"{number}.png"), mask)
            masks += [mask] if split == "val" else []
    data = {"path": str(folder), "train": "images/train", "val": "images/val", "masks_dir": "masks"}
    (folder / "data.yaml").write_text(yaml.safe_dump({**data, "names": ["ground", "square", "disc"]}))
    return str(folder / "data.yaml"), max(np.mean(np.stack(masks) == kind) for kind in range(3)) / 3


@pytest.mark.training
def test_classification_learns_the_kind_of_a_drawing(tmp_path):
    """The accuracy was 96% at the time of writing; chance is 25%."""
    data = write_drawings(tmp_path / "data", 160, 80)
    (tmp_path / "small.yaml").write_text(SMALL)
    model = akyolo.YOLO(tmp_path / "small.yaml")
    before = [m.rotation_conv.weight.detach().clone() for m in model.model.modules() if isinstance(m, DeformKernel)]
    given = {"batch": 16, "nbs": 16, "optimizer": "AdamW", "lr0": 0.003, "cos_lr": True, "erasing": 0.0}
    given |= {**AUGMENT_LITTLE, "auto_augment": None}
    metrics = model.train(**arguments(tmp_path, data=data, epochs=8, **given))
    assert metrics.top1 > 0.7
    after = [m.rotation_conv.weight for m in model.model.modules() if isinstance(m, DeformKernel)]
    assert len(after) == 4 and not any(torch.equal(*pair) for pair in zip(before, after, strict=True))
    random = np.random.default_rng(1)
    results = model.predict([drawing(random, number % KINDS) for number in range(40)], imgsz=64)
    assert np.mean([result.probs.top1 == number % KINDS for number, result in enumerate(results)]) > 0.6


@pytest.mark.training
def test_semantic_segmentation_learns_square_and_disc(tmp_path):
    """The mean IoU was 0.89 at the time of writing; the best constant prediction has 0.28."""
    (tmp_path / "data").mkdir()
    data, constant = write_masks(tmp_path / "data", 48, 24)
    model = akyolo.YOLO("yolo26n-sem-icnn.yaml")
    assert model.task == "semantic" and sum(isinstance(m, IrregularConv) for m in model.model.modules()) == 4
    given = {"batch": 8, "nbs": 8, "optimizer": "AdamW", "lr0": 0.005, "cos_lr": True, **AUGMENT_LITTLE}
    metrics = model.train(**arguments(tmp_path, data=data, epochs=16, **given))
    assert constant < 0.3 and metrics.results_dict["metrics/mIoU"] > 0.5


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train MobileNet-V2 with deformable kernels for 2 epochs on 4 classes, stopped once and resumed."""
    folder = tmp_path_factory.mktemp("mobilenet")
    data = write_drawings(folder / "data", 8, 8)
    model = akyolo.YOLO("mobilenetv2-dk.yaml")

    def stop(trainer):
        raise KeyboardInterrupt

    model.add_callback("on_model_save", stop)
    with pytest.raises(KeyboardInterrupt):
        model.train(**arguments(folder, data=data, dropout=0.25, offset_lr=0.1))
    last = model.trainer.last
    model = akyolo.YOLO(last)
    model.train(resume=True)
    return folder, model


@pytest.mark.training
def test_it_resumes_and_keeps_its_training_arguments(trained):
    _, model = trained
    with model.trainer.csv.open() as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == [1, 2]
    assert model.trainer.args.offset_lr == 0.1
    assert [m.p for m in model.trainer.model.modules() if isinstance(m, nn.Dropout)] == [0.25]
    assert sum(group.get("split_from") is not None for group in model.trainer.optimizer.param_groups) == 2


@pytest.mark.training
def test_it_validates_and_predicts(trained):
    folder, model = trained
    again = akyolo.YOLO(model.trainer.best)
    assert again.task == "classify" and again.names == {number: f"kind{number}" for number in range(KINDS)}
    head = again.model.model[-1]
    assert type(head) is Classifier and head.linear.out_features == KINDS
    metrics = again.val(data=str(folder / "data"), imgsz=64, workers=0, plots=False, project=str(folder))
    assert 0 <= metrics.top1 <= 1 and metrics.top5 == 1
    (result,) = again.predict(np.full((64, 64, 3), 128, np.uint8), imgsz=64, project=str(folder))
    assert result.probs.data.shape == (KINDS,) and abs(float(result.probs.data.sum()) - 1) < 1e-4


@pytest.mark.training
def test_its_onnx_file_and_the_fused_model_give_the_same_probabilities(tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL)
    model = akyolo.YOLO(tmp_path / "small.yaml")
    generator = torch.Generator().manual_seed(0)
    for module in model.model.modules():
        if isinstance(module, DeformKernel):  # far from where it begins
            weight = module.rotation_conv.weight
            weight.data = torch.randn(weight.shape, generator=generator) * weight[0].numel() ** -0.5
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.fill_(0.2)
    model.save(tmp_path / "small.pt")
    model = akyolo.YOLO(tmp_path / "small.pt")
    file = model.export(format="onnx", imgsz=64)
    image = torch.rand(1, 3, 64, 64, generator=generator)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    network = copy.deepcopy(model.model).float().eval()
    expected = network(image)[0]
    assert torch.allclose(torch.from_numpy(probabilities), expected, atol=1e-4)
    assert torch.allclose(network.fuse(verbose=False)(image)[0], expected, atol=1e-4)
    picture = np.random.default_rng(2).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    both = [m.predict(picture, imgsz=64, project=str(tmp_path))[0].probs.data for m in (model, akyolo.YOLO(file))]
    assert torch.allclose(*both, atol=1e-4) and both[0].max() > 0.26  # not uniform


@pytest.mark.training
def test_its_weights_start_a_training_on_other_classes(trained, tmp_path, caplog):
    _, model = trained
    data = write_drawings(tmp_path / "data", 6, 6, kinds=3)
    other = akyolo.YOLO("mobilenetv2-dk.yaml").load(str(model.trainer.best))
    assert "they start from random values" not in caplog.text
    other.train(**arguments(tmp_path, data=data, epochs=1, lr0=0.0, optimizer="SGD"))
    assert other.model.model[-1].linear.out_features == 3
    plain = akyolo.YOLO("mobilenetv2.yaml").load(str(model.trainer.best))
    stem = plain.model.model[0].conv.weight
    assert torch.equal(stem, other.model.model[0].conv.weight.float())


@pytest.mark.slow
def test_info_counts_a_classifier_and_a_segmenter(in_tmp, capfd):
    main(["info", "cfg/mobilenetv2-dk.yaml", "--imgsz", "224"])
    assert " unfused: 4,711,162 parameters" in capfd.readouterr().out
    main(["info", "yolo26n-sem-icnn.yaml", "--imgsz", "64"])
    assert "IrregularConv" in capfd.readouterr().out
