"""Several processes train one model, launched by torchrun or by Ultralytics."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from torch import distributed as dist
from ultralytics.engine.trainer import BaseTrainer
from ultralytics.utils.dist import ddp_cleanup, find_free_network_port, generate_ddp_file

from akyolo import YOLO
from akyolo.errors import ConfigError, TrainingError
from akyolo.upstream.training import distributed
from akyolo.upstream.training.distributed import InProcesses, devices_here
from akyolo.upstream.training.trainer import DetectionTrainer
from tests.helpers.tiny_training import arguments, write_images, write_model

ROOT = Path(__file__).resolve().parents[3]
IMAGES = 12  # three steps of two images in each of two processes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    write_model(folder)
    write_images(folder, IMAGES, 4)
    older = folder / "runs" / "train"
    older.mkdir(parents=True)
    (older / "results.csv").write_text("of an older run")
    return folder


def launch(folder: Path, trainings: int, *options: str) -> subprocess.Popen:
    process = ["--module", "tests.helpers.processes.one_process", str(folder), str(trainings)]
    command = [sys.executable, "-m", "torch.distributed.run", *options, *process]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(*launched: subprocess.Popen) -> None:
    try:
        for process in launched:
            output, _ = process.communicate(timeout=100)
            assert process.returncode == 0, output[-4000:]
    finally:
        for process in launched:
            process.kill()


def told(folder: Path, name: str) -> list[dict[str, Any]]:
    return [torch.load(folder / f"{name}-{rank}.pt") for rank in range(2)]


def bit_equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    pairs = zip(one["parameters"], other["parameters"], strict=True)
    return all(torch.equal(mine, yours) for mine, yours in pairs)


def assert_trained_as_one(folder: Path) -> None:
    first, second = told(folder, "together")
    assert [rank["steps"] for rank in (first, second)] == [3, 3]
    assert [rank["world_size"] for rank in (first, second)] == [2, 2]
    assert bit_equal(first, second)
    assert not set(first["images"]) & set(second["images"])
    assert sorted(first["images"] + second["images"]) == sorted(map(str, (folder / "data/images/train").iterdir()))


def assert_results(save_dir: Path) -> None:
    assert len((save_dir / "results.csv").read_text().splitlines()) == 1 + 2
    image = next((save_dir.parents[1] / "data/images/val").iterdir())
    assert len(YOLO(str(save_dir / "weights" / "best.pt")).predict(image, imgsz=64, device="cpu", save=False)) == 1


@pytest.fixture(scope="module")
def one_machine(folder: Path) -> Path:
    finish(launch(folder, 2, "--standalone", "--nproc_per_node", "2"))
    return folder


@pytest.mark.training
def test_processes_of_one_machine_train_one_model(one_machine: Path) -> None:
    assert_trained_as_one(one_machine)
    assert [rank["local_rank"] for rank in told(one_machine, "together")] == ["0", "1"]


@pytest.mark.training
def test_the_gradients_are_exchanged(one_machine: Path) -> None:
    together, alone = told(one_machine, "together"), told(one_machine, "alone")
    assert [rank["images"] for rank in together] == [rank["images"] for rank in alone]
    assert not bit_equal(*alone)
    assert not any(bit_equal(*pair) for pair in zip(together, alone, strict=True))


@pytest.mark.training
def test_all_ranks_use_the_folder_of_rank_0_and_leave_older_runs_alone(one_machine: Path) -> None:
    runs = one_machine / "runs"
    assert {rank["save_dir"] for rank in told(one_machine, "together")} == {str(runs / "train-2")}
    assert {rank["save_dir"] for rank in told(one_machine, "alone")} == {str(runs / "train-3")}
    assert sorted(path.name for path in runs.iterdir()) == ["train", "train-2", "train-3"]
    assert (runs / "train" / "results.csv").read_text() == "of an older run"
    assert_results(runs / "train-2")


@pytest.mark.training
def test_two_machines_train_one_model(tmp_path: Path) -> None:
    write_model(tmp_path)
    write_images(tmp_path, IMAGES, 4)
    meeting = ("--nnodes", "2", "--master_addr", "127.0.0.1", "--master_port", str(find_free_network_port()))
    finish(*(launch(tmp_path, 1, *meeting, "--nproc_per_node", "1", "--node_rank", str(node)) for node in range(2)))
    assert_trained_as_one(tmp_path)
    assert [rank["local_rank"] for rank in told(tmp_path, "together")] == ["0", "0"]
    assert_results(tmp_path / "runs" / "train")


@pytest.mark.training
def test_the_launch_of_upstream_finds_our_trainer_and_our_arguments(folder: Path) -> None:
    overrides = arguments(folder, data=str(folder / "data.yaml"), model=str(folder / "tiny.yaml"), offset_lr=0.1)
    trainer = DetectionTrainer(overrides={**overrides, "name": "upstream"})
    file = generate_ddp_file(trainer)
    state = zipfile.ZipFile(Path(file).with_suffix(".pt"))
    pickled = b"".join(state.read(name) for name in state.namelist() if name.endswith("data.pkl"))
    ddp_cleanup(trainer, file)
    assert b"akyolo.upstream.training.trainer" in pickled

    trainer.world_size, trainer.ddp = 2, True  # as upstream sets them for two GPUs
    trainer.train()
    assert yaml.safe_load((trainer.save_dir / "args.yaml").read_text())["offset_lr"] == 0.1
    assert torch.load(trainer.best, weights_only=False)["train_args"]["offset_lr"] == 0.1
    assert_results(trainer.save_dir)


@pytest.mark.parametrize(
    ("device", "count", "local_rank", "expected"),
    [
        ("", 2, 1, "0,1"),
        ("2,3", 4, 1, "2,3"),
        ("", 1, 3, "0,0,0,0"),  # one visible device: the scheduler has dealt them out
        ("0", 1, 1, "0,0"),
        ("npu:0,1", 0, 1, "npu:0,1"),
    ],
)
def test_devices_by_local_rank(device: str, count: int, local_rank: int, expected: str) -> None:
    assert devices_here(device, count, local_rank) == expected


@pytest.mark.parametrize(("device", "count"), [("0", 2), ("", 0), ("mps", 0)])
def test_a_process_without_a_device_is_refused(device: str, count: int) -> None:
    with pytest.raises(ConfigError, match="has none for process 1"):
        devices_here(device, count, 1)


def test_a_batch_smaller_than_the_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "WORLD_SIZE", 8)
    monkeypatch.setattr(distributed, "LOCAL_RANK", 0)
    with pytest.raises(ConfigError, match="each of 8 processes"):
        InProcesses._check_for_processes(SimpleNamespace(args=SimpleNamespace(batch=4)))


def test_a_folder_that_a_machine_does_not_share_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "RANK", 1)
    monkeypatch.setattr(dist, "broadcast_object_list", lambda names, src: names.__setitem__(0, str(tmp_path / "there")))
    trainer = SimpleNamespace(save_dir=tmp_path, args=SimpleNamespace())
    with pytest.raises(TrainingError, match="project= must be a folder that all machines share"):
        InProcesses._share_results_folder(trainer)


@pytest.mark.parametrize(("rank", "expected"), [(0, ["build", "meet"]), (1, ["meet", "build"]), (3, ["meet", "build"])])
def test_rank_0_reads_the_images_first(rank: int, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(distributed, "RANK", rank)
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "barrier", lambda: done.append("meet"))
    monkeypatch.setattr(BaseTrainer, "build_dataset", lambda *_: done.append("build"))
    InProcesses.build_dataset(InProcesses.__new__(InProcesses), "images/train")
    assert done == expected


def test_alone_nothing_changes(folder: Path) -> None:
    assert "RANK" not in os.environ
    overrides = arguments(folder, data=str(folder / "data.yaml"), model=str(folder / "tiny.yaml"), name="alone")
    trainer = DetectionTrainer(overrides=overrides)
    assert (trainer.world_size, trainer.ddp) == (0, False)
