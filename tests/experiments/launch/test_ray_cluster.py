"""Runs on a Ray cluster of this machine: real trainings, with workers and commands that are killed."""

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile

import psutil
import pytest
from filelock import FileLock

from akyolo.cli import main
from akyolo.cli.compare import comparison, read_operators
from akyolo.errors import ConfigError
from akyolo.experiments.launch import ray_cluster
from akyolo.experiments.spec.spec_file import table_text
from akyolo.upstream.arguments import packages
from tests.helpers.tiny_training import check_resumed, wait_for, write_plain

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
    return write_plain(tmp_path_factory.mktemp("数据 集é"))


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


def trainings(folder):
    """The processes of runs under this folder, by row."""
    processes = {}
    for process in psutil.process_iter(["cmdline", "cwd"]):
        if "akyolo.experiments.run.worker" in (process.info["cmdline"] or []) and process.info["cwd"] == str(folder):
            processes[process.info["cmdline"][-2]] = process
    return processes


@pytest.mark.training
def test_a_killed_worker_is_started_again_by_ray_and_its_run_resumes(folder, environment, cluster):
    home = folder / "runs" / "compare" / "killed"
    process = start(folder, environment, "killed", "epochs=3", "--launcher", "ray", "--address", cluster)
    wait_for(home / "Conv-seed0" / "weights" / "last.pt", process)
    training = trainings(folder)["Conv"]
    worker = training.parent()
    assert worker.name().startswith("ray::")
    worker.kill()
    training.wait(10)  # its stdin is closed; some versions of Ray also kill it
    assert not (home / "Conv-seed0" / "record.json").exists()
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    check_resumed(home / "Conv-seed0")
    assert "3/3" in (home / "Conv-seed0" / "log.txt").read_text(encoding="utf-8")
    other = json.loads((home / "AKConv-5-seed0" / "record.json").read_text())
    assert len(other["starts"]) == 1 and [epoch["epoch"] for epoch in other["curve"]] == [1, 2, 3]
    assert (home / "table.md").read_text() in out and "runs/compare/killed/Conv-seed0 is done, " in out
    assert not list(home.rglob(".*.partial"))


@pytest.mark.training
def test_a_killed_command_takes_its_own_cluster_along(folder, environment, monkeypatch, capfd):
    """Until it ends, another command is refused."""
    home = folder / "runs" / "compare" / "alone"
    process = start(folder, environment, "alone", "epochs=1000", "--launcher", "ray")
    wait_for(home / "Conv-seed0" / "weights" / "last.pt", process)
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as stop:
        main(["compare", "tiny.yaml", "--name", "alone", *QUICK, "epochs=1000"])
    assert stop.value.code == 2
    assert capfd.readouterr().err == "akyolo: runs/compare/alone: is being run by another process\n"
    begun = trainings(folder)
    assert process.poll() is None and "Conv" in begun
    process.kill()
    process.communicate()
    psutil.wait_procs(begun.values(), 20)
    assert not trainings(folder)
    for lock in home.rglob(".lock"):
        with FileLock(lock, timeout=20):
            pass


CHILD = """
import os, sys
from pathlib import Path
def main():
    print("started", flush=True)
    if sys.argv[3] == "killed once":
        if len(Path("table/killed-once-seed0/log.txt").read_text().splitlines()) == 1:
            os.kill(os.getpid(), 9)
    else:
        sys.exit(int(sys.argv[3]))
"""
LAUNCH = """
import os, sys
from pathlib import Path
from akyolo.errors import ConfigError
from akyolo.experiments.launch.local import Run
from akyolo.experiments.launch.ray_cluster import connect
os.chdir(sys.argv[2])
with connect(sys.argv[1]) as launch:
    ended = launch([Run(Path("table"), row, 0) for row in ("0", "1", "2", "killed once")])
    print(sorted((run.row, error) for run, error in ended))
    try:
        print(*launch([Run(Path("gone"), "0", 0)]))
    except ConfigError as error:
        print(error)
"""


@pytest.mark.slow
def test_ray_tries_failed_runs_again(tmp_path, environment, cluster):
    """The child trains nothing: it only ends, in different ways."""
    (tmp_path / "akyolo" / "paper").mkdir(parents=True)
    (tmp_path / "akyolo" / "paper" / "child.py").write_text(CHILD)
    (tmp_path / "akyolo" / "__init__.py").touch()
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "spec.yaml").touch()
    command = [sys.executable, "-c", LAUNCH, cluster, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    see = "see log.txt there"
    ended = [("0", ""), ("1", f"exit code 1, {see}"), ("2", f"exit code 2, {see}"), ("killed once", "")]
    assert f"\n{ended}\n" in done.stdout
    assert f"\n{tmp_path}/gone/spec.yaml does not exist on node {platform.node()}\n  Ray needs a folder" in done.stdout
    logs = {file.parent.name: file.read_text() for file in tmp_path.rglob("log.txt")}
    starts = {"0-seed0": 1, "1-seed0": 1 + ray_cluster.RETRIES, "2-seed0": 1, "killed-once-seed0": 2}
    assert logs == {name: "started\n" * count for name, count in starts.items()}
    assert not (tmp_path / "gone").exists()


SEES = """
import os
print(os.environ["CUDA_VISIBLE_DEVICES"].count(",") + 1, flush=True)
"""
WITH_GPUS = """
import os, sys
from pathlib import Path
import ray
from akyolo.experiments.launch import ray_cluster
from akyolo.experiments.launch.local import list_runs
from akyolo.experiments.spec.spec_file import read_table
os.chdir(sys.argv[1])
ray.init("local", num_cpus=1, num_gpus=3, include_dashboard=False, object_store_memory=ray_cluster.OBJECT_STORE)
runs = [run for file in Path().glob("*/spec.yaml") for run in list_runs(file.parent, read_table(file))]
assert not any(error for _, error in ray_cluster._launch(runs))
"""


@pytest.mark.slow
def test_a_run_gets_the_gpus_that_it_names(tmp_path, environment):
    """The GPUs are declared only, and the child counts them."""
    (tmp_path / "akyolo" / "paper").mkdir(parents=True)
    (tmp_path / "akyolo" / "paper" / "child.py").write_text(SEES)
    (tmp_path / "akyolo" / "__init__.py").touch()
    settings = {"one": {}, "two": {"device": [0, 1]}, "too": {"device": "1,2"}, "first": {"device": 0}}
    for name, more in settings.items():
        table = comparison(name, "b.yaml", read_operators("Conv", "1"), 1, more)
        (tmp_path / name).mkdir()
        (tmp_path / name / "spec.yaml").write_text(table_text(table))
    command = [sys.executable, "-c", WITH_GPUS, str(tmp_path)]
    subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    counts = {file.parents[1].name: int(file.read_text()) for file in tmp_path.rglob("log.txt")}
    assert counts == {"one": 1, "two": 2, "too": 2, "first": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:9", "no Ray cluster answers there within 4 s"),
        ("nowhere", "no Ray cluster can be used there: ValueError: Invalid address format: nowhere"),
    ],
)
def test_an_address_where_no_cluster_answers(monkeypatch, address, message):
    monkeypatch.setattr(ray_cluster, "LONGEST_WAIT", 4)
    with pytest.raises(ConfigError, match=f"^--address {address}: {message}"), ray_cluster.connect(address):
        pass


def test_without_ray_its_extra_is_named(monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'akyolo\[ray\]'"), ray_cluster.connect(None):
        pass


@pytest.mark.slow
def test_ray_is_imported_only_if_it_is_used():
    code = "import sys, akyolo.cli.compare, akyolo.experiments.launch.ray_cluster; assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
