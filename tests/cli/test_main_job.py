"""The commands, run as a user runs them."""

import csv
import json
import os
import subprocess
import sys

import pytest
import torch
import yaml

from tests.helpers.tiny_training import write_images, write_model

pytestmark = pytest.mark.training

QUICK = ["imgsz=64", "batch=4", "nbs=4", "device=cpu", "workers=0", "optimizer=SGD", "mosaic=0"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Make a folder with model and images, a name beyond ASCII, and settings that name another folder."""
    folder = tmp_path_factory.mktemp("数据 集é")
    write_model(folder)
    write_images(folder, 8, 4)
    settings = folder / "settings"
    run(folder, "--version")
    file = next(settings.rglob("settings.json"))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"runs_dir": str(folder / "elsewhere")}))
    return folder


def run(folder, *words, code=0):
    environment = os.environ | {"YOLO_CONFIG_DIR": str(folder / "settings")}
    command = [sys.executable, "-m", "akyolo.cli", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(folder):
    return run(folder, "train", "tiny.yaml", "data=data.yaml", "epochs=2", *QUICK)


def test_train_ends_with_results_an_image_and_three_commands(folder, trained):
    home = folder / "runs" / "detect" / "train"
    assert not (folder / "elsewhere").exists()
    assert {"args.yaml", "results.csv", "results.png", "val_batch0_pred.jpg"} <= {f.name for f in home.iterdir()}
    rows = list(csv.DictReader((home / "results.csv").read_text().splitlines()))
    assert [row["epoch"].strip() for row in rows] == ["1", "2"]
    tail = trained[trained.index("\nresults ") :]
    assert "runs/detect/train/val_batch0_pred.jpg" in tail
    assert [line.split()[1] for line in tail.splitlines() if line.startswith("  akyolo ")] == [
        "val",
        "predict",
        "train",
    ]
    assert "akyolo.ops.akconv.AKConv" in trained and "mAP50" in trained


def test_the_next_commands_work(folder, trained):
    best = "runs/detect/train/weights/best.pt"
    assert "mAP50" in run(folder, "val", best, "data=data.yaml", "imgsz=64", "workers=0", "plots=False")
    assert (folder / "runs" / "detect" / "val").is_dir()
    image = next((folder / "data" / "images" / "val").iterdir())
    run(folder, "predict", best, f"source={image}", "imgsz=64")
    assert (folder / "runs" / "detect" / "predict" / f"{image.stem}.jpg").exists()
    assert "best.onnx" in run(folder, "export", best, "format=onnx", "imgsz=64")
    facts = json.loads(run(folder, "info", best, "--json"))
    assert facts["layers"][1]["module"] == "AKConv" and facts["nc"] == 2


def test_nothing_is_installed_without_being_told(folder, trained):
    """A fake pip would leave a mark; a missing package is named instead."""
    (folder / "fake" / "pip").mkdir(parents=True)
    (folder / "fake" / "pip" / "__main__.py").write_text(f"open({str(folder / 'installed')!r}, 'w')")
    uv = folder / "fake" / "uv"
    uv.write_text(f"#!/bin/sh\ntouch '{folder}/installed'\n")
    uv.chmod(0o755)
    environment = {key: value for key, value in os.environ.items() if key not in {"YOLO_AUTOINSTALL", "YOLO_OFFLINE"}}
    environment |= {"PYTHONPATH": str(folder / "fake"), "PATH": f"{folder / 'fake'}:{os.environ['PATH']}"}
    environment |= {"YOLO_CONFIG_DIR": str(folder / "settings")}
    command = [
        sys.executable,
        "-m",
        "akyolo.cli",
        "export",
        "runs/detect/train/weights/best.pt",
        "format=mnn",
        "imgsz=64",
    ]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "akyolo: mnn needs the package MNN" in done.stderr, done.stdout + done.stderr
    assert not (folder / "installed").exists()


def test_a_finished_training_has_nothing_to_resume(folder, trained):
    done = run(folder, "train", "runs/detect/train/weights/last.pt", "resume=True", code=2)
    assert done == ""


def test_without_data_it_trains_on_the_embedded_set_and_the_users_arguments_override(folder):
    out = run(folder, "train", "tiny.yaml", "epochs=1", "imgsz=32", "fraction=0.05", "name=embedded", "plots=False")
    for said in ("so this trains on the embedded set of shapes", "akyolo: recipe shapes: "):
        assert sum(said in line for line in out.splitlines()) == 1
    arguments = yaml.safe_load((folder / "runs" / "detect" / "embedded" / "args.yaml").read_text())
    assert (arguments["epochs"], arguments["imgsz"]) == (1, 32)
    assert (arguments["optimizer"], arguments["lr0"], arguments["nbs"]) == ("AdamW", 0.002, 8)
    weights = torch.load(folder / "runs" / "detect" / "embedded" / "weights" / "best.pt", weights_only=False)
    assert weights["model"].names == dict(enumerate(["bar", "snake", "cross", "star", "ring", "blob"]))


def test_tune_and_track_take_our_models(folder, trained):
    run(folder, "tune", "tiny.yaml", "data=data.yaml", "epochs=1", "iterations=1", "plots=False", "val=True", *QUICK)
    best = yaml.safe_load((folder / "runs" / "detect" / "tune" / "best_hyperparameters.yaml").read_text())
    assert "lr0" in best and (folder / "runs" / "detect" / "tune" / "weights" / "best.pt").exists()
    source = folder / "data" / "images" / "val"
    run(folder, "track", "runs/detect/train/weights/best.pt", f"source={source}", "imgsz=64")
