"""Launchers of runs: options, SLURM's job arrays, torchrun's script, and two processes at the same run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from akyolo.cli.compare import comparison, read_operators
from akyolo.experiments.spec.spec_file import table_text
from tests.helpers.tiny_training import write_plain

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
TRAINING = ["data=data.yaml", "imgsz=64", "batch=4", "nbs=4", "device=cpu", "optimizer=SGD", "plots=False", "workers=0"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_plain(tmp_path_factory.mktemp("数据 集é"))


def plan(folder, name, *words):
    """`akyolo compare`, up to the line that submits its runs."""
    ops = ["--ops", "Conv,AKConv:5", "--where", "1", "--seeds", "1", "--name", name, "--launcher", "slurm"]
    command = [sys.executable, "-m", "akyolo.cli", "compare", "tiny.yaml", *ops, *TRAINING, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def script(name, folder, *words, **environment):
    pipe = subprocess.PIPE
    environment = os.environ | {"PYTHON": sys.executable} | environment
    command = [str(SCRIPTS / name), *words]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
    )


@pytest.mark.training
def test_a_job_array_runs_a_table(folder):
    out = plan(folder, "array", "epochs=1")
    assert "\n  sbatch --array=0,1 scripts/slurm-array runs/compare/array\n" in out
    assert out.count("\n| Conv     | not run") == 1 and not list(folder.glob("runs/compare/array/*/"))
    task = script("slurm-array", folder, "runs/compare/array", SLURM_ARRAY_TASK_ID="1")
    assert task.communicate() and task.returncode == 0
    record = json.loads((folder / "runs/compare/array/AKConv-5-seed0/record.json").read_text())
    assert (record["row"], record["seed"]) == ("AKConv:5", 0)
    out = plan(folder, "array", "epochs=1")
    assert "\n  sbatch --array=0 scripts/slurm-array runs/compare/array\n" in out
    rows = json.loads((folder / "runs/compare/array/table.json").read_text())["rows"]
    assert [row["seeds"] for row in rows] == [[], [0]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "environment", "message"),
    [
        (["runs/compare/two"], {}, "SLURM_ARRAY_TASK_ID is not set: submit with sbatch --array=0-N\n"),
        ([], {"SLURM_ARRAY_TASK_ID": "0"}, "usage: sbatch --array=0-N scripts/slurm-array FOLDER\n"),
        (["."], {"SLURM_ARRAY_TASK_ID": "2"}, "akyolo: spec.yaml: there is no run 2: 0 to 1 are there\n"),
    ],
)
def test_a_task_without_a_run_says_so(tmp_path, words, environment, message):
    (tmp_path / "spec.yaml").write_text(
        "seeds: [3, 4]\ntables: [{table: 1, data: null, recipe: null, settings: {}, "
        "protocol: coco, evaluation: {}, rows: [{row: a, base: yolov8n.yaml}]}]\n"
    )
    task = script("slurm-array", tmp_path, *words, **environment)
    assert task.communicate()[1] == message and task.returncode == 2


@pytest.mark.training
def test_of_two_processes_at_one_run_the_second_is_refused(folder, monkeypatch):
    """Both are started at the same time."""
    monkeypatch.chdir(folder)
    settings = {
        "data": "data.yaml",
        "epochs": 1000,
        "imgsz": 64,
        "batch": 4,
        "device": "cpu",
        "plots": False,
        "workers": 0,
    }
    (folder / "two").mkdir()
    table = comparison("two", "tiny.yaml", read_operators("Conv", "1"), 1, settings)
    (folder / "two" / "spec.yaml").write_text(table_text(table))
    command, pipe = [sys.executable, "-m", "akyolo.experiments.run.worker", "two", "Conv", "0"], subprocess.PIPE
    both = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(2)]
    try:
        refused = wait_for_one(both)
        _, err = refused.communicate()
        (trains,) = (process for process in both if process is not refused)
        assert refused.returncode == 2 and trains.poll() is None
        assert err == f"akyolo: {folder}/two/Conv-seed0: is being run by another process\n"
        assert len(json.loads((folder / "two/Conv-seed0/starts.json").read_text())) == 1
        trains.stdin.close()  # its starter ends
        assert trains.wait(10) == 1
    finally:
        for process in both:
            process.kill()
            with process:  # closes its pipes
                pass


def wait_for_one(processes):
    while True:
        for process in processes:
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            return process


@pytest.mark.parametrize(
    ("environment", "meeting"),
    [
        ({}, "--nnodes 1 --nproc_per_node gpu --rdzv_backend c10d --rdzv_endpoint localhost:29400 --rdzv_id akyolo"),
        (
            {"HEAD": "a", "NODES": "2", "PROCESSES": "8", "PORT": "7"},
            "--nnodes 2 --nproc_per_node 8 --rdzv_backend c10d --rdzv_endpoint a:7 --rdzv_id akyolo",
        ),
        (
            {"SLURM_JOB_NUM_NODES": "3", "SLURM_JOB_NODELIST": "n[1-3]", "SLURM_JOB_ID": "5"},
            "--nnodes 3 --nproc_per_node gpu --rdzv_backend c10d --rdzv_endpoint first-of-n[1-3]:29400 --rdzv_id 5",
        ),
    ],
)
def test_the_script_of_torchrun_says_where_nodes_meet(tmp_path, environment, meeting):
    """Real trainings by torchrun: tests/upstream/training/test_distributed.py."""
    slurm = tmp_path / "scontrol"
    slurm.write_text('#!/bin/sh\nprintf "first-of-%s\\nsecond\\n" "$3"\n')
    slurm.chmod(0o755)
    environment = environment | {"PYTHON": "echo", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    node = script("torchrun", tmp_path, "my model.yaml", "epochs=2", **environment)
    assert node.communicate()[0] == f"-m torch.distributed.run {meeting} -m akyolo.cli train my model.yaml epochs=2\n"


def test_several_nodes_need_a_head(tmp_path):
    """Without it, each node would wait for the others at its own address."""
    node = script("torchrun", tmp_path, "model.yaml", NODES="2", PYTHON="echo")
    assert node.communicate() == ("", "HEAD is not set: name the node where 2 nodes meet\n") and node.returncode == 2


def test_an_address_needs_the_launcher_ray(in_tmp, fails):
    words = ["yolov8n.yaml", "--ops", "Conv", "--where", "1", "--address", "a:1"]
    assert fails("compare", *words) == "akyolo: --address: goes with --launcher ray\n"


@pytest.mark.slow
def test_a_cluster_that_does_not_answer_leaves_nothing(in_tmp, fails, monkeypatch):
    monkeypatch.setattr("akyolo.experiments.launch.ray_cluster.LONGEST_WAIT", 1)
    words = ["yolov8n.yaml", "--ops", "Conv", "--where", "1", "--launcher", "ray", "--address", "127.0.0.1:9"]
    assert fails("compare", *words).startswith(
        "akyolo: --address 127.0.0.1:9: no Ray cluster answers there within 1 s\n"
    )
