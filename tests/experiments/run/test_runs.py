"""One run: trained, resumed wherever it stopped, evaluated and recorded; with tiny, but real trainings."""

import dataclasses
import hashlib
import json

import pytest
import torch
import yaml
from filelock import FileLock

from akyolo.errors import ConfigError
from akyolo.experiments.run import runs
from akyolo.experiments.run.records import read_record
from akyolo.experiments.run.runs import Starts, execute, run_folder
from akyolo.experiments.spec.spec_file import read_table, read_tables
from akyolo.experiments.spec.table_spec import PAPER, TableRow, TableRun, TableSpec
from akyolo.swapping import SwapRule
from akyolo.upstream.evaluation.dataset import images_used, label_checksum
from akyolo.upstream.evaluation.score_file import score_file
from akyolo.upstream.training.checkpoints import AtomicCheckpoints
from akyolo.upstream.training.trainer import DetectionTrainer
from tests.helpers.tiny_training import write_images, write_plain

SETTINGS = {"epochs": 3, "imgsz": 64, "batch": 4, "nbs": 4, "device": "cpu", "mosaic": 0, "warmup_epochs": 0}
FAST = {"optimizer": "AdamW", "lr0": 0.02}  # so that three epochs detect something


ROW = "AKConv:5"
SWAPS = {"plain": None, "offsets": SwapRule("AKConv", (5,), "downsample")}


class Killed(BaseException):
    """Stands for a SIGKILL; nothing in a training catches it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_plain(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def table(folder):
    return TableSpec(
        table="t",
        data=str(folder / "data.yaml"),
        recipe=None,
        settings={**SETTINGS, **FAST, "plots": False},
        protocol="ultralytics",
        evaluation={},
        rows=(TableRow(ROW, str(folder / "tiny.yaml"), SwapRule("AKConv", (5,), "downsample")),),
    )


def run(folder, table, seed):
    """Execute the only row of a table."""
    (row,) = table.rows
    return execute(folder, TableRun(table, row, seed))


@pytest.fixture(scope="module")
def undisturbed(folder, table):
    return run(folder / "undisturbed", table, 7)


@pytest.mark.training
def test_the_record_says_how_it_was_made(folder, table, undisturbed):
    home = run_folder(folder / "undisturbed", ROW, 7)
    assert home.name == "AKConv-5-seed7" and read_record(home / "record.json") == undisturbed
    arguments = yaml.safe_load((home / "args.yaml").read_text())
    paths = {"model", "data", "project", "save_dir", "resume"}
    # as used: upstream has no workers on CPU
    assert {key: arguments[key] for key in arguments.keys() - paths} | {"workers": 0} == undisturbed.settings
    assert str(folder) not in json.dumps(undisturbed.settings)
    assert undisturbed.settings["seed"] == undisturbed.seed == 7 and undisturbed.settings["deterministic"] is True
    assert undisturbed.asked["swap"]["op"] == "AKConv" and undisturbed.asked["settings"] == dict(table.settings)
    assert [start["hardware"] for start in undisturbed.starts] == [undisturbed.hardware]
    assert (undisturbed.batch, undisturbed.images) == (4, {"train": 12, "val": 4})
    assert {"akyolo", "ultralytics", "torch", "python"} == undisturbed.versions.keys()
    assert undisturbed.hardware["device"] == "cpu" and undisturbed.hardware["gpu"] is None
    assert undisturbed.gflops > 0 and undisturbed.peak_bytes > 100 * 2**20
    assert undisturbed.metrics.keys() == {"ultralytics"}
    assert {"P", "R", "mAP50", "mAP75", "mAP"} == undisturbed.metrics["ultralytics"].keys()
    assert 0 < undisturbed.metrics["ultralytics"]["mAP"] < undisturbed.metrics["ultralytics"]["mAP50"]


@pytest.mark.training
def test_its_curve_and_its_only_start(undisturbed):
    assert [epoch["epoch"] for epoch in undisturbed.curve] == [1, 2, 3]
    assert all(epoch["seconds"] > 0 and epoch["train/box_loss"] > 0 for epoch in undisturbed.curve)
    (start,) = undisturbed.starts
    assert start["epoch"] == 1 and start["seconds"] == undisturbed.seconds > 0
    assert undisturbed.seconds > sum(epoch["seconds"] for epoch in undisturbed.curve)


@pytest.mark.training
def test_the_model_keeps_the_name_of_its_base(folder, table):
    swapped = (run_folder(folder / "undisturbed", ROW, 7) / "tiny.yaml").read_text()
    assert swapped.count("AKConv") == 2 and "source_file" not in swapped


@pytest.mark.training
def test_the_label_checksum_is_that_of_the_files_in_order(folder, table, undisturbed):
    files = [file for split in ("train", "val") for file in sorted((folder / "data" / "labels" / split).glob("*.txt"))]
    assert len(files) == 16
    assert undisturbed.labels == hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    assert images_used(table.data, 0.5) == {"train": 6, "val": 4}


def test_an_image_without_labels_counts_as_an_image(tmp_path):
    data = write_images(tmp_path, 3, 2)
    before = label_checksum(data)
    label = tmp_path / "data" / "labels" / "train" / "01.txt"
    label.write_text("")
    changed = label_checksum(data)
    label.unlink()
    assert before != changed == label_checksum(data) and images_used(data, 1.0) == {"train": 3, "val": 2}


@pytest.mark.training
def test_a_finished_run_is_not_run_again(folder, table, undisturbed, monkeypatch):
    monkeypatch.setattr(runs, "_train", None)
    assert run(folder / "undisturbed", table, 7) == undisturbed


def kill_at(monkeypatch, epoch, owner, name):
    """The process ends when the trainer calls this method in this epoch."""
    method = getattr(owner, name)

    def die(trainer, *args, **kwargs):
        if trainer.epoch + 1 == epoch:
            raise Killed
        return method(trainer, *args, **kwargs)

    monkeypatch.setattr(owner, name, die)


@pytest.mark.training
@pytest.mark.parametrize(("epoch", "begins"), [(1, [1, 1]), (2, [1, 2])])
def test_killed_between_the_table_and_the_checkpoint_an_epoch_counts_once(folder, table, monkeypatch, epoch, begins):
    here = folder / f"killed-at-{epoch}"
    results = run_folder(here, ROW, 0) / "results.csv"
    with monkeypatch.context() as patch:
        kill_at(patch, epoch, AtomicCheckpoints, "save_model")
        with pytest.raises(Killed):
            run(here, table, 0)
    assert len(results.read_text().splitlines()) == 1 + epoch  # one more than the checkpoint knows
    with results.open("a") as stream:
        stream.write(f"{epoch + 1},1.0,0.")  # torn
    record = run(here, table, 0)
    assert [start["epoch"] for start in record.starts] == begins
    assert [entry["epoch"] for entry in record.curve] == [1, 2, 3]
    assert all(entry["seconds"] > 0 for entry in record.curve)
    assert record.seconds == sum(start["seconds"] for start in record.starts)
    assert record.settings["seed"] == 0 and record.settings["epochs"] == 3


@pytest.mark.training
def test_killed_before_its_end_it_is_only_evaluated(folder, table, undisturbed, monkeypatch):
    here = folder / "unfinished"
    with monkeypatch.context() as patch:
        patch.setattr(AtomicCheckpoints, "final_eval", lambda trainer: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            run(here, table, 7)
    weights = run_folder(here, ROW, 7) / "weights"
    assert torch.load(weights / "last.pt", weights_only=False)["optimizer"] is not None
    monkeypatch.setattr(Starts, "train", None)
    record = run(here, table, 7)
    assert torch.load(weights / "last.pt", weights_only=False)["optimizer"] is None
    assert sorted(file.name for file in weights.iterdir()) == ["best.pt", "last.pt"]
    assert record.metrics == undisturbed.metrics and record.settings == undisturbed.settings
    same = [{key: value for key, value in entry.items() if key != "seconds"} for entry in undisturbed.curve]
    assert [{key: value for key, value in entry.items() if key != "seconds"} for entry in record.curve] == same
    assert [start["epoch"] for start in record.starts] == [1]


@pytest.mark.training
def test_killed_while_it_is_evaluated_it_is_only_evaluated(folder, table, undisturbed, monkeypatch):
    home = run_folder(folder / "undisturbed", ROW, 7)
    (home / "record.json").rename(home / "before.json")
    monkeypatch.setattr(Starts, "train", None)
    assert run(folder / "undisturbed", table, 7).metrics == undisturbed.metrics
    (home / "before.json").replace(home / "record.json")


@pytest.mark.training
def test_the_batch_is_that_of_the_training(folder, table, monkeypatch):
    """Upstream halves it when memory runs out in the first epoch."""
    original, failed = DetectionTrainer.preprocess_batch, []

    def preprocess(trainer, batch):
        if not failed:
            failed.append(True)
            raise RuntimeError("CUDA out of memory")
        return original(trainer, batch)

    monkeypatch.setattr(DetectionTrainer, "preprocess_batch", preprocess)
    record = run(folder / "halved", table, 0)
    assert (record.batch, record.settings["batch"], record.asked["settings"]["batch"]) == (2, 2, 4)
    assert [entry["epoch"] for entry in record.curve] == [1, 2, 3]


@pytest.mark.training
def test_a_row_without_learned_offsets_ignores_their_learning_rate(folder, table):
    settings = {**table.settings, "epochs": 1, "offset_lr": 0.1}

    def changed(**row):
        return dataclasses.replace(table, settings=settings, rows=(dataclasses.replace(table.rows[0], **row),))

    plain, offsets = (changed(row=name, swap=swap) for name, swap in SWAPS.items())
    assert run(folder / "rates", plain, 0).settings["offset_lr"] == 1
    assert run(folder / "rates", offsets, 0).settings["offset_lr"] == 0.1


@pytest.mark.training
def test_the_evaluation_is_of_the_images_and_classes_that_training_had(folder, table):
    settings = {**table.settings, "fraction": [1.0, 0.5], "classes": [1]}
    record = run(folder / "part", dataclasses.replace(table, settings=settings), 7)
    best = max(record.curve, key=lambda epoch: epoch["mAP"])
    assert record.images == {"train": 12, "val": 2} and best["mAP"] > 0
    assert record.metrics["ultralytics"]["mAP"] == pytest.approx(best["mAP"], abs=1e-4)


@pytest.mark.parametrize("columns", [{}, {"epoch": [1, 3], "time": [1, 2]}])
def test_a_checkpoint_without_the_results_of_each_epoch_makes_no_record(tmp_path, columns):
    with pytest.raises(ConfigError, match=r"last\.pt: does not hold the results of each epoch\n  remove the folder"):
        runs._curve(columns, {1}, tmp_path / "last.pt")


def test_a_damaged_file_of_starts_is_refused_with_a_remedy(tmp_path):
    (tmp_path / "starts.json").write_text('[{"epoch"')
    with pytest.raises(ConfigError, match=r"starts\.json: cannot be read: .*\n  remove the folder of this run"):
        Starts(tmp_path / "starts.json")


def test_a_second_process_is_refused(folder, table, monkeypatch):
    home = run_folder(folder / "taken", ROW, 0)
    home.mkdir(parents=True)
    monkeypatch.setattr(runs, "PATIENCE", 0.1)
    with FileLock(home / ".lock"), pytest.raises(ConfigError, match="is being run by another process"):
        run(folder / "taken", table, 0)
    assert [file.name for file in home.iterdir()] == [".lock"]


def test_another_model_of_the_same_name_is_refused(folder, table):
    home = run_folder(folder / "changed", ROW, 0)
    home.mkdir(parents=True)
    (home / "tiny.yaml").write_text("nc: 3\n")
    with pytest.raises(ConfigError, match=r"tiny\.yaml: .*tiny\.yaml has changed"):
        run(folder / "changed", table, 0)


@pytest.mark.training
def test_any_protocol_and_its_detections(folder, table, undisturbed, monkeypatch):
    """The trained run is evaluated again, by another protocol."""
    home = run_folder(folder / "undisturbed", ROW, 7)
    (home / "record.json").rename(home / "before.json")
    monkeypatch.setattr(Starts, "train", None)
    evaluation = {"conf": 0.001, "iou": 0.6, "max_det": 5}
    other = run(folder / "undisturbed", dataclasses.replace(table, protocol="coco", evaluation=evaluation), 7)
    (home / "before.json").replace(home / "record.json")
    (score,) = score_file(home / "detections.npz", ["coco"])
    assert other.metrics == {"coco": score.metrics} and score.metrics["APM"] is None
    assert (score.nms_iou, score.max_det, score.images) == (0.6, 5, 4)
    assert score.metrics["AP50"] != undisturbed.metrics["ultralytics"]["mAP50"]


def test_a_protocol_that_is_not_there_is_refused_before_anything_is_written(folder):
    first, *_ = read_tables(PAPER)
    with pytest.raises(ConfigError, match="there is no protocol 'cocoo'"):
        run(folder / "cocoo", dataclasses.replace(first, protocol="cocoo", rows=first.rows[:1]), 0)
    assert not (folder / "cocoo").exists()


@pytest.mark.parametrize("text", ["tables: [", "3", "tables: 5", "tables: [{rows: [{row: a}]}]", "{}"])
def test_a_wrong_spec_is_refused_by_its_name(tmp_path, text):
    file = tmp_path / "spec.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"spec\.yaml: "):
        read_table(file)
