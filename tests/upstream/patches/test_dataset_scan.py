"""Trainings that start at the same time on data without a cache."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.helpers.tiny_training import arguments, write_images, write_model


@pytest.mark.training
def test_four_first_starts_on_the_same_images_all_train(tmp_path):
    data, model = write_images(tmp_path, 60, 8), write_model(tmp_path)
    runs = []
    for number in range(4):
        settings = arguments(tmp_path, data=data, epochs=1, val=False, fraction=1.0, name=f"run{number}", batch=30)
        train = f"import akyolo; akyolo.YOLO({model!r}).train(**{settings!r})"
        runs.append(subprocess.Popen([sys.executable, "-c", train], stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    for run in runs:
        output, _ = run.communicate(timeout=300)
        assert run.returncode == 0, output.decode()


def test_the_scan_holds_the_lock(tmp_path, monkeypatch):
    from ultralytics.models import yolo

    from akyolo.upstream.patches.dataset_scan import scan_lock
    from akyolo.upstream.training.trainer import DetectionTrainer

    held = []

    def try_other(self, path, *_, **__):
        try:
            with scan_lock("images", timeout=0):
                held.append("free")
        except TimeoutError:
            held.append("locked")

    monkeypatch.setattr(yolo.detect.DetectionTrainer, "build_dataset", try_other)
    trainer = object.__new__(DetectionTrainer)
    trainer.args = SimpleNamespace(allow_bad=False)
    trainer.build_dataset("images")
    assert held == ["locked"]
