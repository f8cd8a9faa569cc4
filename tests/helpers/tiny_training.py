"""Write models and images so small that a training takes a second."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

MODEL = """
nc: 2
backbone:
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, AKConv, [16, 5, 2]]
  - [-1, 1, AKConv, [32, 3, 2]]
head:
  - [[2], 1, Detect, [nc]]
"""
PLAIN = MODEL.replace("AKConv, [16, 5, 2]", "Conv, [16, 3, 2]").replace("AKConv, [32, 3, 2]", "Conv, [32, 3, 2]")
# The same backbone under an anchor head.
ANCHORED = (
    MODEL.replace("Detect, [nc]", "AnchorDetect, [nc, anchors]")
    + """
recipe: yolov5
anchors:
  - [14, 14, 28, 28]
"""
)


def write_model(folder: Path, text: str = MODEL) -> str:
    """Write a detector with two AKConv rows, or another text; return its path."""
    file = folder / "tiny.yaml"
    file.write_text(text)
    return str(file)


def write_images(folder: Path, train: int, val: int) -> str:
    """Write 64 px images with a bright box in each; return the data YAML."""
    random = np.random.default_rng(0)
    for split, count in {"train": train, "val": val}.items():
        for content in ("images", "labels"):
            (folder / "data" / content / split).mkdir(parents=True)
        for number in range(count):
            image = random.integers(0, 90, (64, 64, 3), dtype=np.uint8)
            x, y = random.integers(4, 28, 2)
            image[y : y + 28, x : x + 28] = 220
            cv2.imwrite(str(folder / "data" / "images" / split / f"{number:02}.png"), image)
            label = f"{number % 2} {(x + 14) / 64} {(y + 14) / 64} {28 / 64} {28 / 64}\n"
            (folder / "data" / "labels" / split / f"{number:02}.txt").write_text(label)
    file = folder / "data.yaml"
    splits = {"train": "images/train", "val": "images/val"}
    file.write_text(yaml.safe_dump({"path": str(folder / "data"), **splits, "names": ["even", "odd"]}))
    return str(file)


def write_plain(folder: Path) -> Path:
    """Write a plain model as tiny.yaml, and data.yaml with three steps an epoch."""
    write_model(folder, PLAIN)
    write_images(folder, 12, 4)
    return folder


def wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    """Wait for a file; fail if the process ends before, or takes minutes."""
    deadline = time.time() + 300
    while not file.exists():
        if process.poll() is not None or time.time() > deadline:
            process.kill()
            raise AssertionError(process.communicate())
        time.sleep(0.01)


def check_resumed(home: Path, epochs: int = 3) -> None:
    """Check by its record that a run started once, resumed once, and trained every epoch once."""
    record = json.loads((home / "record.json").read_text())
    first, second = record["starts"]
    assert first["epoch"] == 1 and second["epoch"] in range(2, epochs + 1)
    assert [epoch["epoch"] for epoch in record["curve"]] == [*range(1, epochs + 1)]
    assert record["seconds"] == first["seconds"] + second["seconds"]
    assert not list(home.parent.rglob(".*.partial"))


def arguments(folder: Path, **changes: Any) -> dict[str, Any]:
    """Return the arguments of a tiny training: two epochs of three steps with 12 images."""
    return {
        "project": str(folder / "runs"),
        "epochs": 2,
        "batch": 4,
        "nbs": 4,
        "imgsz": 64,
        "device": "cpu",
        "workers": 0,
        "warmup_epochs": 0,
        "optimizer": "SGD",
        "mosaic": 0,
        "plots": False,
        **changes,
    }
