"""What a plan says before anything runs."""

import dataclasses
from pathlib import Path

import pytest
from filelock import FileLock

from akyolo.experiments.launch.forecast import PlannedRun, gpu_records, lines, planned, total
from akyolo.experiments.run.records import write_record
from akyolo.experiments.spec.rows import PAPER, Spec, read_spec
from tests.helpers.records import record

ROWS = [row for row in read_spec(PAPER).rows if row.table == 3]


def on_gpu(row, **changes):
    """An epoch took 4 s, the median of 9, 2, 4."""
    fields = {
        "asked": row.asked(),
        "settings": dict(row.settings),
        "metrics": {row.protocol: {}},
        "hardware": {"device": "cuda:0", "gpu": "A GPU"},
    }
    return record(row=row.row, **fields | changes)


def runs(*states):
    return [PlannedRun(ROWS[0], seed, state) for seed, state in enumerate(states)]


def test_what_is_done_what_resumes_and_what_will_run(tmp_path):
    spec = Spec((0, 1), tuple(ROWS[:3]))
    (tmp_path / "baseline-seed0").mkdir()
    write_record(tmp_path / "baseline-seed0" / "record.json", record())
    (tmp_path / "N=3-seed0" / "weights").mkdir(parents=True)
    (tmp_path / "N=3-seed0" / "weights" / "last.pt").touch()
    found = planned(tmp_path, spec, ["N=3", "baseline"])
    assert [(run.row.row, run.seed, run.state) for run in found] == [
        ("baseline", 0, "done"),
        ("N=3", 0, "resumes"),
        ("baseline", 1, "to run"),
        ("N=3", 1, "to run"),
    ]
    text = "\n".join(lines(Path("here"), spec, found))
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
        total(found, {})
        == "4 runs: 1 done, 1 resumes, 2 to run\nGPU-hours: unknown (no record of such a step on a GPU)"
    )


def test_a_run_that_a_process_is_at(tmp_path):
    spec = Spec((0, 1), (ROWS[0],))
    (tmp_path / "baseline-seed0").mkdir()
    with FileLock(tmp_path / "baseline-seed0" / ".lock"):
        found = planned(tmp_path, spec, ["baseline"])
    assert [run.state for run in found] == ["being run", "to run"]
    assert total(found, {}).startswith("2 runs: 0 done, 1 being run, 0 resumes, 1 to run\n")
    assert [run.state for run in planned(tmp_path, spec, ["baseline"])] == ["to run", "to run"]


def test_epochs_that_are_there_take_no_hours(tmp_path):
    home = tmp_path / "baseline-seed0"
    (home / "weights").mkdir(parents=True)
    (home / "weights" / "last.pt").touch()
    (home / "results.csv").write_text("epoch,time\n" + "".join(f"{epoch},9\n" for epoch in range(1, 211)))
    found = planned(tmp_path, Spec((0,), (ROWS[0],)), ["baseline"])
    file = Path("runs/x/record.json")
    assert "GPU-hours: 0.1; from" in total(found, {file: on_gpu(ROWS[0])})  # 90 of 300 epochs of 4 s: 0.1 h, not 0.33


def test_what_is_overridden_is_said():
    row = dataclasses.replace(
        ROWS[0], settings={**ROWS[0].settings, "epochs": 2, "workers": 0}, stated={"settings": ROWS[0].settings}
    )
    text = "\n".join(lines(Path("here"), Spec((0,), (row,)), []))
    assert "overridden  epochs=2, workers=0\n  Shortened, not as the table states it: epochs 2 of 300" in text


def test_hours_come_from_a_step_of_the_same_training_on_a_gpu():
    file = Path("runs/x/record.json")
    # 2 runs ahead, 300 epochs of 4 s: 2400 s
    said = "3 runs: 1 done, 0 resumes, 2 to run\nGPU-hours: 0.7; from runs/x/record.json (4.0 s per epoch on A GPU)"
    assert total(runs("done", "to run", "to run"), {file: on_gpu(ROWS[0])}) == said
    other = [*runs("to run"), PlannedRun(ROWS[1], 0, "to run")]
    assert "GPU-hours: 0.3, and 1 runs unknown; from" in total(other, {file: on_gpu(ROWS[0])})
    assert total(runs("done"), {}).endswith("GPU-hours: none")


@pytest.mark.parametrize(
    "change",
    [
        {"data": "other"},
        {"base": "yolov5s.yaml"},
        {"recipe": "yolov8"},
        {"settings": {**ROWS[0].settings, "imgsz": 320}},
        {"settings": {**ROWS[0].settings, "batch": 8}},
        {"settings": {**ROWS[0].settings, "fraction": 0.1}},
    ],
    ids=str,
)
def test_a_step_of_another_training_says_nothing(change):
    measured = on_gpu(ROWS[0], asked={**ROWS[0].asked(), **change})
    assert "GPU-hours: unknown" in total(runs("to run"), {Path("x"): measured})


def test_data_of_another_name_is_that_of_the_paper():
    asked = {**ROWS[0].asked(), "data": "visdrone/data.yaml", "stated": {"data": "visdrone2021-det"}}
    assert "GPU-hours: 0.3; from" in total(runs("to run"), {Path("x"): on_gpu(ROWS[0], asked=asked)})


def test_only_records_of_a_gpu_are_read(tmp_path):
    for name, one in {"gpu": on_gpu(ROWS[0]), "cpu": record()}.items():
        (tmp_path / "deep" / name).mkdir(parents=True)
        write_record(tmp_path / "deep" / name / "record.json", one)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "record.json").write_text("{")
    assert list(gpu_records(tmp_path)) == [tmp_path / "deep" / "gpu" / "record.json"]
    assert gpu_records(tmp_path / "missing") == {}
