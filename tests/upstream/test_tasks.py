"""A training of every task, with AKConv as its stride-2 convolutions."""

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import ultralytics
import yaml
from ultralytics.utils import YAML

import akyolo
from akyolo.ops.akconv import AKConv
from tests.helpers.tiny_training import arguments

pytestmark = pytest.mark.training

MODELS = Path(ultralytics.__file__).parent / "cfg" / "models"
CASES = {
    "detect": "v8/yolov8.yaml",
    "segment": "v8/yolov8-seg.yaml",
    "pose": "v8/yolov8-pose.yaml",
    "obb": "v8/yolov8-obb.yaml",
    "classify": "v8/yolov8-cls.yaml",
    "semantic": "26/yolo26-sem.yaml",
}


def label_of(task, x, y, side):
    """Return the label of a bright square at (x, y) in a 64 px image, in the format of the task."""
    left, top, right, bottom = x / 64, y / 64, (x + side) / 64, (y + side) / 64
    box = f"0 {(left + right) / 2} {(top + bottom) / 2} {side / 64} {side / 64}"
    corners = f"0 {left} {top} {right} {top} {right} {bottom} {left} {bottom}"
    keypoints = " ".join(f"{left + i / 17 * side / 64} {top} 2" for i in range(17))
    return {"detect": box, "segment": corners, "obb": corners, "pose": f"{box} {keypoints}"}.get(task, "")


def write_data(folder, task):
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for number in range(6):
            image = random.integers(0, 90, (64, 64, 3), dtype=np.uint8)
            x, y = (int(v) for v in random.integers(4, 28, 2))
            image[y : y + 28, x : x + 28] = 220
            if task == "classify":
                (folder / split / f"class{number % 2}").mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / split / f"class{number % 2}" / f"{number}.png"), image)
                continue
            for kind in ("images", "labels", "masks"):
                (folder / kind / split).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / "images" / split / f"{number}.png"), image)
            (folder / "labels" / split / f"{number}.txt").write_text(label_of(task, x, y, 28) + "\n")
            mask = np.zeros((64, 64), np.uint8)
            mask[y : y + 28, x : x + 28] = 1
            cv2.imwrite(str(folder / "masks" / split / f"{number}.png"), mask)
    if task == "classify":
        return str(folder)
    names = {0: "dark", 1: "bright"} if task == "semantic" else {0: "square"}
    data = {"path": str(folder), "train": "images/train", "val": "images/val", "names": names}
    data |= {"kpt_shape": [17, 3]} if task == "pose" else {}
    data |= {"masks_dir": "masks"} if task == "semantic" else {}
    (folder / "data.yaml").write_text(yaml.safe_dump(data))
    return str(folder / "data.yaml")


def write_model(folder, task):
    cfg = copy.deepcopy(YAML.load(MODELS / CASES[task]))
    for row in cfg["backbone"] + cfg["head"]:
        if row[2] == "Conv" and row[3][2:3] == [2]:
            row[2:] = ["AKConv", [row[3][0], 3, 2]]
    stem = Path(CASES[task]).stem.replace("yolov8", "yolov8n").replace("yolo26", "yolo26n")
    (folder / f"{stem}-akconv3.yaml").write_text(yaml.safe_dump(cfg))
    return folder / f"{stem}-akconv3.yaml"


@pytest.mark.parametrize("task", CASES)
def test_it_trains_validates_predicts_and_reloads(task, tmp_path):
    (tmp_path / "data").mkdir()
    data, file = write_data(tmp_path / "data", task), write_model(tmp_path, task)
    model = akyolo.YOLO(file)
    assert model.task == task
    before = {name: p.detach().clone() for name, p in model.model.named_parameters() if "offset_conv" in name}
    model.train(**arguments(tmp_path, data=data, epochs=1))
    assert type(model.trainer).__module__ == "akyolo.upstream.training.trainer"
    after = dict(akyolo.YOLO(model.trainer.best).model.named_parameters())
    assert before and any(not torch.equal(value, after[name].float()) for name, value in before.items())
    again = akyolo.YOLO(model.trainer.best)
    assert again.task == task and any(isinstance(m, AKConv) for m in again.model.modules())
    result = again.predict(np.full((64, 64, 3), 128, np.uint8), imgsz=64, project=str(tmp_path))
    assert len(result) == 1
