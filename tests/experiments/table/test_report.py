"""The files that report a table, from records without a training."""

import json

import pytest
import torch

from akyolo.cli.compare import comparison, read_operators
from akyolo.experiments.table import report as module
from akyolo.experiments.table.report import measure_speed, write_report
from tests.helpers.records import record


@pytest.fixture
def table():
    return comparison("t", "yolov8n.yaml", read_operators("Conv,AKConv:5", "downsample"), 2, {})


@pytest.fixture
def measured(monkeypatch):
    """The calls of `time_models`, which measures 5 ms for any model."""
    calls = []

    def time_models(weights, imgsz, device):
        calls.append((list(weights), imgsz, device))
        return {"rows": {row: {"median_ms": 5.0, "iqr_ms": 0.1} for row in weights}}

    monkeypatch.setattr(module, "time_models", time_models)
    return calls


def with_weights(folder, name, file="best.pt"):
    (folder / name / "weights").mkdir(parents=True)
    (folder / name / "weights" / file).touch()


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"rows": {"Conv": {}}}', '{"rows": {"Conv": 5}}'])
def test_a_broken_speed_file_is_measured_again(tmp_path, table, measured, text):
    (tmp_path / "speed.json").write_text(text)
    assert write_report(tmp_path, table, [record()], {})["speed"] is None
    with_weights(tmp_path, "Conv-seed0")
    measure_speed(tmp_path, table, [record()])
    assert write_report(tmp_path, table, [record()], {})["rows"][0]["ms"] == 5


def test_rows_with_weights_are_timed_once(tmp_path, table, measured):
    records = [record(), record(seed=1), record(row="AKConv:5", seed=1)]
    measure_speed(tmp_path, table, records)
    assert measured == []
    with_weights(tmp_path, "AKConv-5-seed1", "last.pt")
    measure_speed(tmp_path, table, records)
    measure_speed(tmp_path, table, records)
    with_weights(tmp_path, "Conv-seed0")
    measure_speed(tmp_path, table, records)
    cpu = torch.device("cpu")
    assert measured == [(["AKConv:5"], 64, cpu), (["Conv", "AKConv:5"], 64, cpu)]


def test_a_model_trained_on_a_gpu_is_timed_on_the_cpu_if_there_is_no_gpu(tmp_path, table, measured, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with_weights(tmp_path, "Conv-seed0")
    measure_speed(tmp_path, table, [record(hardware={"device": "cuda:0", "gpu": "a GPU"})])
    assert measured == [(["Conv"], 64, torch.device("cpu"))]


def test_a_table_names_the_machine_of_its_ms_where_it_is_another(tmp_path, table):
    gpu, cpu = {"device": "cuda:0", "gpu": "a GPU"}, {"device": "cpu", "gpu": None}
    speed = {"hardware": cpu, "rows": {"Conv": {"median_ms": 5.0}}}
    (tmp_path / "speed.json").write_text(json.dumps(speed))
    write_report(tmp_path, table, [record(hardware=gpu)], {})
    text = (tmp_path / "table.md").read_text()
    assert "- Machine: device cuda:0, gpu a GPU.\n- Machine of ms / image: device cpu.\n" in text
    write_report(tmp_path, table, [record(hardware=cpu)], {})
    assert "Machine of ms" not in (tmp_path / "table.md").read_text()


def test_a_run_that_resumed_on_another_machine_names_both(tmp_path, table):
    old, new = {"device": "cuda:0", "gpu": "old"}, {"device": "cuda:0", "gpu": "new"}
    starts = [{"epoch": epoch, "hardware": machine} for epoch, machine in ((1, old), (2, new))]
    write_report(tmp_path, table, [record(hardware=new, starts=starts)], {})
    said = "- Machine DIFFER between runs: device cuda:0, gpu old | device cuda:0, gpu new.\n"
    assert said in (tmp_path / "table.md").read_text()


def test_settings_that_differ_are_named(tmp_path, table):
    other = record(row="AKConv:5", settings={**record().settings, "epochs": 4, "seed": 1, "offset_lr": 0.1})
    write_report(tmp_path, table, [record(), other], {})
    assert "- Settings DIFFER between runs: epochs.\n" in (tmp_path / "table.md").read_text()
    write_report(tmp_path, table, [record(), record(seed=1)], {})
    assert "DIFFER" not in (tmp_path / "table.md").read_text()
