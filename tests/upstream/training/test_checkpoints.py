"""Checkpoints survive kills and full disks, and hostile files are refused."""

import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import akyolo
from akyolo.errors import CheckpointError, TrainingError
from akyolo.files import AtomicPath, keep_previous
from akyolo.upstream.training import checkpoints as saving
from tests.helpers.tiny_training import arguments, write_images, write_model

WRITER = "tests.helpers.processes.checkpoint_writer"
ROOT = Path(__file__).resolve().parents[3]
PLAIN = "yolov8n.yaml"


def loadable(path):
    try:
        return bool(torch.load(path)["weights"].eq(1).all())
    except Exception:
        return False


@pytest.mark.slow
def test_200_kills_tear_no_checkpoint(tmp_path):
    target = tmp_path / "last.pt"
    chance = random.Random(0)
    torn = 0
    command = [sys.executable, "-m", WRITER, str(target)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        for _ in range(200):
            writer.stdin.write("save\n")
            writer.stdin.flush()
            pid = int(writer.stdout.readline())
            time.sleep(chance.uniform(0, 0.04))
            os.kill(pid, signal.SIGKILL)
            torn += sum(not loadable(file) for file in tmp_path.glob("last*.pt"))
        writer.stdin.close()
    assert target.exists() and torn == 0


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_file_and_says_how_much_it_needed(tmp_path):
    """Use a real file system of 20 MB, if the machine allows mounting one."""
    script = (
        "import sys\n"
        "from akyolo.errors import TrainingError\n"
        "from akyolo.files import AtomicPath\n"
        "try:\n"
        "    AtomicPath(sys.argv[1]).write_bytes(b'n' * 12_600_000)\n"
        "except TrainingError as error:\n"
        "    print(error)\n"
    )
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system needs root")
    try:
        (disk / "last.pt").write_bytes(b"o" * 12_600_000)
        run = subprocess.run(
            [sys.executable, "-c", script, str(disk / "last.pt")], capture_output=True, text=True, check=True
        )
        assert "no space left to save" in run.stdout and "12,600,000 bytes needed" in run.stdout
        assert (disk / "last.pt").read_bytes() == b"o" * 12_600_000
        assert [file.name for file in disk.iterdir()] == ["last.pt"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_an_error_of_the_disk_leaves_the_old_file(tmp_path, monkeypatch):
    """Without root, let the write itself fail."""
    target = AtomicPath(tmp_path / "last.pt")
    target.write_bytes(b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingError, match="3 bytes needed"):
        target.write_bytes(b"new")
    assert [(f.name, f.read_bytes()) for f in tmp_path.iterdir()] == [("last.pt", b"old")]


def test_a_full_disk_when_the_optimizer_is_stripped_leaves_the_checkpoint(tmp_path, monkeypatch):
    """torch.save raises a RuntimeError then."""

    def full(file, s, updates):
        Path(s).write_bytes(b"half")
        raise RuntimeError("enforce fail at inline_container.cc: unexpected pos")

    monkeypatch.setattr(saving, "strip_optimizer", full)
    target = AtomicPath(tmp_path / "last.pt")
    target.write_bytes(b"whole")
    with pytest.raises(TrainingError, match="no room to strip the optimizer"):
        saving._strip(target)
    assert [(f.name, f.read_bytes()) for f in tmp_path.iterdir()] == [("last.pt", b"whole")]


def test_a_checkpoint_is_as_readable_as_any_file(tmp_path):
    AtomicPath(tmp_path / "last.pt").write_bytes(b"new")
    (tmp_path / "other").write_bytes(b"other")
    assert (tmp_path / "last.pt").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_the_previous_checkpoint_is_kept(tmp_path):
    target = AtomicPath(tmp_path / "last.pt")
    for data in (b"1", b"2", b"3"):
        keep_previous(target)
        target.write_bytes(data)
    assert target.read_bytes() == b"3" and (tmp_path / "last-1.pt").read_bytes() == b"2"


@pytest.mark.training
def test_a_killed_training_leaves_whole_files_and_resumes_at_the_next_epoch(tmp_path):
    settings = arguments(tmp_path, data=write_images(tmp_path, 8, 4), epochs=400, val=False, name="run")
    train = f"import akyolo; akyolo.YOLO({write_model(tmp_path)!r}).train(**{settings!r})"
    weights = tmp_path / "runs" / "run" / "weights"
    with subprocess.Popen([sys.executable, "-c", train], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        deadline = time.time() + 120
        while not (weights / "last-1.pt").exists() and time.time() < deadline:
            time.sleep(0.05)
        run.send_signal(signal.SIGKILL)
    saved = torch.load(weights / "last.pt", weights_only=False)
    previous = torch.load(weights / "last-1.pt", weights_only=False)
    assert previous["epoch"] <= saved["epoch"]  # the same where the kill fell between keeping and replacing
    model = akyolo.YOLO(weights / "last.pt")
    epochs = []
    model.add_callback(
        "on_train_epoch_start", lambda trainer: epochs.append((trainer.epoch, len(trainer.optimizer.state)))
    )

    def stop(trainer):
        trainer.stop = True

    model.add_callback("on_train_batch_end", stop)
    model.train(resume=True)
    assert epochs[0][0] == saved["epoch"] + 1 and epochs[0][1] > 0
    assert not list(weights.glob(".*"))


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "good.pt"
    akyolo.YOLO("yolov8n-akconv5.yaml").save(path)
    return path


@pytest.mark.parametrize("name", ["bad.pt", pytest.param("bad.PT", marks=pytest.mark.slow)])
@pytest.mark.parametrize("where", ["model", "ema", "train_args", "alone", "legacy"])
def test_weights_with_a_payload_are_refused_and_run_nothing(where, name, good, tmp_path):
    marker, file = tmp_path / "ran", tmp_path / name
    checkpoint = torch.load(good, weights_only=False)
    if where == "alone":
        torch.save(Payload(marker), file)
    elif where == "legacy":
        file.write_bytes(pickle.dumps({"model": Payload(marker)}))
    else:
        torch.save({**checkpoint, where: Payload(marker)}, file)
    with pytest.raises(CheckpointError, match=r"bad\.(pt|PT): not readable as weights"):
        akyolo.YOLO(file)
    with pytest.raises(CheckpointError):
        akyolo.YOLO(PLAIN).load(file)
    for key in ("pretrained", "distill_model", "resume"):
        with pytest.raises(CheckpointError):
            akyolo.YOLO(PLAIN).train(data="unread.yaml", **{key: str(file)})
    assert not marker.exists()


def damaged(kind, good):
    data = good.read_bytes()
    return {
        "random": random.Random(0).randbytes(5000),
        "empty": b"",
        "truncated": data[: len(data) // 2],
        "text": b"hello\n",
    }[kind]


@pytest.mark.parametrize("kind", ["random", "empty", "truncated", "text"])
def test_damaged_weights_are_named(kind, good, tmp_path):
    file = tmp_path / "damaged.pt"
    file.write_bytes(damaged(kind, good))
    with pytest.raises(CheckpointError, match=r"damaged.pt: not readable as weights"):
        akyolo.YOLO(file)


def test_weights_without_a_model_are_named(tmp_path):
    torch.save({"weights": torch.ones(3)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"other.pt: holds no model"):
        akyolo.YOLO(tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="there is no file"):
        akyolo.YOLO(tmp_path / "missing.pt")


def test_plain_weights_in_a_swapped_model():
    """Fitting tensors are loaded; BatchNorm of replaced rows starts anew, though its name and shape fit."""
    plain = akyolo.YOLO(PLAIN)
    for module in plain.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.fill_(7)
    model = akyolo.YOLO("yolov8n-akconv5.yaml").load(plain.model)
    for i in range(22):
        statistics = {
            m.running_mean.mean().item() for m in model.model.model[i].modules() if hasattr(m, "running_mean")
        }
        assert statistics <= ({0.0} if i in {1, 3, 5, 7, 16, 19} else {7.0})
    assert torch.equal(model.model.model[0].conv.weight, plain.model.model[0].conv.weight)


def test_the_rows_that_stay_random_are_named(caplog):
    akyolo.YOLO("yolov8n-akconv5.yaml").load(akyolo.YOLO(PLAIN).model)
    assert "no weights fit rows 1, 3, 5, 7, 16, 19" in caplog.text
