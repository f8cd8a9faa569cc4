"""Runs on a Ray cluster of this machine: real trainings, whose workers and whose command are killed."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "upstream"))
from tiny_training import PLAIN, write_images, write_model

COMPARE = ["--ops", "Conv,AKConv:5", "--where", "1", "--seeds", "1", "data=data.yaml", "imgsz=64", "batch=4", "nbs=4"]
QUICK = [*COMPARE, "device=cpu", "optimizer=SGD", "mosaic=0", "plots=False", "workers=0"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """An empty home, no usage statistics, and a folder for Ray whose path is short enough for a socket."""
    temporary = tempfile.mkdtemp(prefix="ray")
    home = {"HOME": str(tmp_path_factory.mktemp("home")), "RAY_TMPDIR": temporary, "RAY_USAGE_STATS_ENABLED": "0"}
    yield os.environ | home
    shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("数据 集é")
    write_model(folder, PLAIN)
    write_images(folder, 12, 4)
    return folder


@pytest.fixture(scope="module")
def cluster(environment):
    """The address of a cluster with two workers of one CPU each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    few = ["--object-store-memory", str(80 * 2**20), "--include-dashboard", "false", "--disable-usage-stats"]
    head = ["start", "--head", "--block", "--num-cpus", "2", "--port", str(port), *few]
    command = [sys.executable, "-m", "ray.scripts.scripts", *head]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        yield f"127.0.0.1:{port}"
        process.terminate()
        process.communicate()


def start(folder, environment, name, *words):
    command = [sys.executable, "-m", "akyolo.cli", "compare", "tiny.yaml", "--name", name, *QUICK, *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def wait_for(file, process):
    deadline = time.time() + 120
    while not file.exists():
        assert process.poll() is None and time.time() < deadline, process.communicate()
        time.sleep(0.01)


def trainings(folder):
    """The processes of runs under this folder, by row."""
    found = {}
    for process in psutil.process_iter(["cmdline", "cwd"]):
        if "akyolo.paper.child" in (process.info["cmdline"] or []) and process.info["cwd"] == str(folder):
            found[process.info["cmdline"][-2]] = process
    return found


def test_a_killed_worker_is_started_again_by_ray_and_its_run_resumes(folder, environment, cluster):
    home = folder / "runs" / "compare" / "killed"
    process = start(folder, environment, "killed", "epochs=3", "--launcher", "ray", "--address", cluster)
    wait_for(home / "Conv-seed0" / "weights" / "last.pt", process)
    training = trainings(folder)["Conv"]
    worker = training.parent()
    assert "ray::" in worker.name() or "ray::" in " ".join(worker.cmdline())
    worker.kill()
    assert training.wait(10) is None  # nobody holds its stdin
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    record = json.loads((home / "Conv-seed0" / "record.json").read_text())
    first, second = record["starts"]
    assert first["epoch"] == 1 and second["epoch"] in (2, 3)
    assert [epoch["epoch"] for epoch in record["curve"]] == [1, 2, 3]
    other = json.loads((home / "AKConv-5-seed0" / "record.json").read_text())
    assert len(other["starts"]) == 1 and [epoch["epoch"] for epoch in other["curve"]] == [1, 2, 3]
    assert (home / "table.md").read_text() in out and "Conv-seed0 is done" in out
    assert "3/3" in (home / "Conv-seed0" / "log.txt").read_text(encoding="utf-8")
    assert not list(home.rglob(".*.partial"))
