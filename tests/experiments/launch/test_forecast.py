"""The plan that is printed before anything runs."""

import dataclasses
from pathlib import Path

import pytest
from filelock import FileLock

from akyolo.experiments.launch.forecast import PlannedRun, describe_plan, describe_total, plan_runs, read_gpu_records
from akyolo.experiments.run.records import write_record
from akyolo.experiments.spec.select import override
from akyolo.experiments.spec.spec_file import read_tables
from akyolo.experiments.spec.table_spec import PAPER, TableRun
from tests.helpers.records import record

TABLE = next(table for table in read_tables(PAPER) if table.table == 3)
FIRST, SECOND, THIRD = (TableRun(TABLE, row, 0) for row in TABLE.rows[:3])


def table_of(*runs, seeds=(0,)):
    return dataclasses.replace(TABLE, rows=tuple(run.row for run in runs), seeds=seeds)


def on_gpu(run, **changes):
    """An epoch took 4 s, the median of 9, 2, 4."""
    fields = {
        "asked": run.requested(),
        "settings": dict(TABLE.settings),
        "metrics": {TABLE.protocol: {}},
        "hardware": {"device": "cuda:0", "gpu": "A GPU"},
    }
    return record(row=run.row.row, **fields | changes)


def runs(*states):
    return [PlannedRun(dataclasses.replace(FIRST, seed=seed), state) for seed, state in enumerate(states)]


def test_the_plan_names_runs_that_are_done_resume_or_will_run(tmp_path):
    table = table_of(FIRST, SECOND, THIRD, seeds=(0, 1))
    (tmp_path / "baseline-seed0").mkdir()
    write_record(tmp_path / "baseline-seed0" / "record.json", record())
    (tmp_path / "N=3-seed0" / "weights").mkdir(parents=True)
    (tmp_path / "N=3-seed0" / "weights" / "last.pt").touch()
    plans = plan_runs(tmp_path, table, ["N=3", "baseline"])
    assert [(plan.run.row.row, plan.run.seed, plan.state) for plan in plans] == [
        ("baseline", 0, "done"),
        ("N=3", 0, "resumes"),
        ("baseline", 1, "to run"),
        ("N=3", 1, "to run"),
    ]
    text = "\n".join(describe_plan(Path("here"), table, plans))
    for said in (
        "table 3 in here",
        "data=FILE (akyolo data prepare visdrone)",
        "training    recipe yolov5, epochs 300, batch 16, imgsz 640",
        "evaluation  protocol yolov5, conf 0.001, iou 0.6, max_det 300",
        "assumed     evaluation: the paper does not say",
        "seed 0 resumes, seed 1 to run",
    ):
        assert said in text
    assert "N=5" not in text and "overridden" not in text
    assert (
        describe_total(plans, {})
        == "4 runs: 1 done, 1 resumes, 2 to run\nGPU-hours: unknown (no record of such a step on a GPU)"
    )


def test_a_run_that_another_process_executes(tmp_path):
    table = table_of(FIRST, seeds=(0, 1))
    (tmp_path / "baseline-seed0").mkdir()
    with FileLock(tmp_path / "baseline-seed0" / ".lock"):
        plans = plan_runs(tmp_path, table, ["baseline"])
    assert [plan.state for plan in plans] == ["being run", "to run"]
    assert describe_total(plans, {}).startswith("2 runs: 0 done, 1 being run, 0 resumes, 1 to run\n")
    assert [plan.state for plan in plan_runs(tmp_path, table, ["baseline"])] == ["to run", "to run"]


def test_epochs_that_are_over_take_no_hours(tmp_path):
    home = tmp_path / "baseline-seed0"
    (home / "weights").mkdir(parents=True)
    (home / "weights" / "last.pt").touch()
    (home / "results.csv").write_text("epoch,time\n" + "".join(f"{epoch},9\n" for epoch in range(1, 211)))
    plans = plan_runs(tmp_path, table_of(FIRST), ["baseline"])
    file = Path("runs/x/record.json")
    assert "GPU-hours: 0.1; from" in describe_total(
        plans, {file: on_gpu(FIRST)}
    )  # 90 of 300 epochs of 4 s: 0.1 h, not 0.33


def test_overridden_arguments_are_named():
    table = override(TABLE, {"epochs": 2, "workers": 0})
    text = "\n".join(describe_plan(Path("here"), table, []))
    assert "overridden  epochs=2, workers=0\n  Shortened, not as the table states it: epochs 2 of 300" in text


def test_hours_come_from_a_step_of_the_same_training_on_a_gpu():
    file = Path("runs/x/record.json")
    # 2 runs ahead, 300 epochs of 4 s: 2400 s
    said = "3 runs: 1 done, 0 resumes, 2 to run\nGPU-hours: 0.7; from runs/x/record.json (4.0 s per epoch on A GPU)"
    assert describe_total(runs("done", "to run", "to run"), {file: on_gpu(FIRST)}) == said
    other = [*runs("to run"), PlannedRun(SECOND, "to run")]
    assert "GPU-hours: 0.3, and 1 runs unknown; from" in describe_total(other, {file: on_gpu(FIRST)})
    assert describe_total(runs("done"), {}).endswith("GPU-hours: none")


@pytest.mark.parametrize(
    "change",
    [
        {"data": "other"},
        {"base": "yolov5s.yaml"},
        {"recipe": "yolov8"},
        {"settings": {**TABLE.settings, "imgsz": 320}},
        {"settings": {**TABLE.settings, "batch": 8}},
        {"settings": {**TABLE.settings, "fraction": 0.1}},
    ],
    ids=str,
)
def test_hours_are_unknown_without_an_equal_training(change):
    measured = on_gpu(FIRST, asked={**FIRST.requested(), **change})
    assert "GPU-hours: unknown" in describe_total(runs("to run"), {Path("x"): measured})


def test_data_of_another_name_is_that_of_the_paper():
    requested = {**FIRST.requested(), "data": "visdrone/data.yaml", "stated": {"data": "visdrone2021-det"}}
    assert "GPU-hours: 0.3; from" in describe_total(runs("to run"), {Path("x"): on_gpu(FIRST, asked=requested)})


def test_only_records_of_a_gpu_are_read(tmp_path):
    for name, of_run in {"gpu": on_gpu(FIRST), "cpu": record()}.items():
        (tmp_path / "deep" / name).mkdir(parents=True)
        write_record(tmp_path / "deep" / name / "record.json", of_run)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "record.json").write_text("{")
    assert list(read_gpu_records(tmp_path)) == [tmp_path / "deep" / "gpu" / "record.json"]
    assert read_gpu_records(tmp_path / "missing") == {}
