"""What is written of a series, from records without a training."""

import json

import pytest
import torch

from akyolo.cli.compare import operators, spec_of
from akyolo.experiments.spec.rows import read_spec
from akyolo.experiments.table import report as module
from akyolo.experiments.table.report import measure_speed, report
from tests.helpers.records import record


@pytest.fixture
def spec(tmp_path):
    file = tmp_path / "spec.yaml"
    file.write_text(json.dumps(spec_of("t", "yolov8n.yaml", operators("Conv,AKConv:5", "downsample"), 2, {})))
    return read_spec(file)


@pytest.fixture
def measured(monkeypatch):
    """What was asked of `speed`, which finds 5 ms for any model."""
    asked = []

    def speed(weights, imgsz, device):
        asked.append((list(weights), imgsz, device))
        return {"rows": {row: {"median_ms": 5.0, "iqr_ms": 0.1} for row in weights}}

    monkeypatch.setattr(module, "speed", speed)
    return asked


def with_weights(folder, name, file="best.pt"):
    (folder / name / "weights").mkdir(parents=True)
    (folder / name / "weights" / file).touch()


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"rows": {"Conv": {}}}', '{"rows": {"Conv": 5}}'])
def test_a_broken_speed_file_is_measured_again(tmp_path, spec, measured, text):
    (tmp_path / "speed.json").write_text(text)
    assert report(tmp_path, spec, [record()], {})["speed"] is None
    with_weights(tmp_path, "Conv-seed0")
    measure_speed(tmp_path, spec, [record()])
    assert report(tmp_path, spec, [record()], {})["rows"][0]["ms"] == 5


def test_speed_is_measured_of_the_rows_whose_weights_are_there_and_once(tmp_path, spec, measured):
    records = [record(), record(seed=1), record(row="AKConv:5", seed=1)]
    measure_speed(tmp_path, spec, records)
    assert measured == []
    with_weights(tmp_path, "AKConv-5-seed1", "last.pt")
    measure_speed(tmp_path, spec, records)
    measure_speed(tmp_path, spec, records)
    with_weights(tmp_path, "Conv-seed0")
    measure_speed(tmp_path, spec, records)
    cpu = torch.device("cpu")
    assert measured == [(["AKConv:5"], 64, cpu), (["Conv", "AKConv:5"], 64, cpu)]


def test_what_was_trained_on_a_gpu_is_timed_where_we_are(tmp_path, spec, measured, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with_weights(tmp_path, "Conv-seed0")
    measure_speed(tmp_path, spec, [record(hardware={"device": "cuda:0", "gpu": "a GPU"})])
    assert measured == [(["Conv"], 64, torch.device("cpu"))]


def test_a_table_names_the_machine_of_its_ms_where_it_is_another(tmp_path, spec):
    gpu, here = {"device": "cuda:0", "gpu": "a GPU"}, {"device": "cpu", "gpu": None}
    speed = {"hardware": here, "rows": {"Conv": {"median_ms": 5.0}}}
    (tmp_path / "speed.json").write_text(json.dumps(speed))
    report(tmp_path, spec, [record(hardware=gpu)], {})
    text = (tmp_path / "table.md").read_text()
    assert "- Machine: device cuda:0, gpu a GPU.\n- Machine of ms / image: device cpu.\n" in text
    report(tmp_path, spec, [record(hardware=here)], {})
    assert "Machine of ms" not in (tmp_path / "table.md").read_text()


def test_a_run_that_resumed_on_another_machine_names_both(tmp_path, spec):
    old, new = {"device": "cuda:0", "gpu": "old"}, {"device": "cuda:0", "gpu": "new"}
    starts = [{"epoch": epoch, "hardware": there} for epoch, there in ((1, old), (2, new))]
    report(tmp_path, spec, [record(hardware=new, starts=starts)], {})
    said = "- Machine DIFFER between runs: device cuda:0, gpu old | device cuda:0, gpu new.\n"
    assert said in (tmp_path / "table.md").read_text()


def test_settings_that_differ_are_named(tmp_path, spec):
    other = record(row="AKConv:5", settings={**record().settings, "epochs": 4, "seed": 1, "offset_lr": 0.1})
    report(tmp_path, spec, [record(), other], {})
    assert "- Settings DIFFER between runs: epochs.\n" in (tmp_path / "table.md").read_text()
    report(tmp_path, spec, [record(), record(seed=1)], {})
    assert "DIFFER" not in (tmp_path / "table.md").read_text()
