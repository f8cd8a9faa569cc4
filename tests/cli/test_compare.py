"""`akyolo compare`, with trainings of seconds."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from akyolo.cli import main
from akyolo.cli.compare import read_operators
from akyolo.errors import ConfigError
from akyolo.experiments.spec.spec_file import read_table
from akyolo.swapping import SwapRule
from tests.helpers.tiny_training import PLAIN, check_resumed, wait_for, write_plain

QUICK = ["imgsz=64", "batch=4", "nbs=4", "device=cpu", "optimizer=SGD", "mosaic=0", "plots=False"]
# the same operator, written in two ways
TWICE = ["--ops", "AKConv:5,AKConv:num_param=5", "--where", "downsample"]
ONE_EPOCH = ["tiny.yaml", *TWICE, "--seeds", "2", "data=data.yaml", "epochs=1", *QUICK]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_plain(tmp_path_factory.mktemp("数据 集é"))


def start(folder, *words, **options):
    command = [sys.executable, "-m", "akyolo.cli", "compare", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True, **options)


def compare(folder, *words, code=0):
    process = start(folder, *words)
    out, err = process.communicate()
    assert process.returncode == code, out + err
    return out, err


@pytest.fixture(scope="module")
def compared(folder):
    return compare(folder, *ONE_EPOCH)


def records_of(home):
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(home.glob("*/record.json"))}


@pytest.mark.training
def test_two_operators_two_seeds_one_table(folder, compared):
    out, _ = compared
    home = folder / "runs" / "compare" / "tiny"
    records = records_of(home)
    assert list(records) == [
        "AKConv-5-seed0",
        "AKConv-5-seed1",
        "AKConv-num_param=5-seed0",
        "AKConv-num_param=5-seed1",
    ]
    text = (home / "table.md").read_text()
    assert text in out and "tiny.yaml (downsample) on data.yaml, 1 epochs, seeds 0, 1" in text
    assert out.strip().splitlines()[-1].split("  ")[2] == "runs/compare/tiny/plot.png"
    table = json.loads((home / "table.json").read_text())
    for row in table["rows"]:
        mine = [record for record in records.values() if record["row"] == row["row"]]
        values = [record["metrics"]["ultralytics"]["mAP"] for record in mine]
        assert row["seeds"] == [0, 1] and row["metrics"]["mAP"]["values"] == values
        assert row["metrics"]["mAP"]["mean"] == pytest.approx(sum(values) / 2)
        assert row["metrics"]["mAP"]["std"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
        assert row["ms"] > 0 and row["params"] == mine[0]["params"] > 80_000
        assert row["seconds_per_epoch"] == pytest.approx(sum(record["curve"][0]["seconds"] for record in mine) / 2)
    assert table["rows"][0]["ms_ratio"] == 1
    assert (home / "plot.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert {"labels", "images", "hardware", "versions", "epochs", "imgsz"} <= table.keys()
    assert len(table["labels"]) == len(table["hardware"]) == 1


@pytest.mark.training
def test_the_same_seed_gives_the_same_numbers_and_another_does_not(folder, compared):
    records = records_of(folder / "runs" / "compare" / "tiny")

    def numbers(name):
        record = records[name]
        return [{**epoch, "seconds": 0} for epoch in record["curve"]], record["metrics"], record["labels"]

    for seed in (0, 1):
        assert numbers(f"AKConv-5-seed{seed}") == numbers(f"AKConv-num_param=5-seed{seed}")
    assert numbers("AKConv-5-seed0") != numbers("AKConv-5-seed1")


@pytest.mark.training
def test_the_same_command_again_trains_nothing_and_its_json_is_alone(folder, compared):
    home = folder / "runs" / "compare" / "tiny"
    kept = {path: path.stat().st_mtime_ns for path in home.glob("*/*")} | {
        path: path.stat().st_mtime_ns for path in home.glob("sp*")
    }
    out, err = compare(folder, *ONE_EPOCH, "--json")
    assert json.loads(out) == json.loads((home / "table.json").read_text())
    assert err.count(" is done") == 4 and "Epoch" not in err
    assert kept == {path: path.stat().st_mtime_ns for path in kept}


@pytest.mark.training
def test_the_spec_is_what_the_command_says(folder, compared):
    table = read_table(folder / "runs" / "compare" / "tiny" / "spec.yaml")
    assert table.seeds == (0, 1) and [row.row for row in table.rows] == ["AKConv:5", "AKConv:num_param=5"]
    assert {row.base for row in table.rows} == {"tiny.yaml"}
    assert (table.table, table.data, table.recipe) == ("tiny", "data.yaml", None)
    assert table.settings["epochs"] == 1 and table.settings["plots"] is False and table.protocol == "ultralytics"
    assert table.rows[1].swap == SwapRule("AKConv", (), "downsample", {"num_param": 5})


@pytest.mark.training
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs=1": "epochs=2"}, "runs/compare/tiny: has other runs: epochs is 1 in spec.yaml, 2 in the command"),
        ({"2": "1"}, "seeds is [0, 1] in spec.yaml, [0] in the command"),
        ({"downsample": "1"}, "where is downsample in spec.yaml, 1 in the command\n"),
        ({TWICE[1]: "AKConv:5"}, "rows is AKConv:5, AKConv:num_param=5 in spec.yaml, AKConv:5 in the command"),
        (
            {"plots=False": "fliplr=0"},
            "plots is False in spec.yaml, not given in the command; fliplr is not given in spec.yaml, 0 in the command",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_other_runs_of_the_same_name_are_refused(folder, compared, monkeypatch, capfd, changes, message):
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        main(["compare", *(changes.get(word, word) for word in ONE_EPOCH)])
    assert stop.value.code == 2 and message in capfd.readouterr().err
    assert sorted(folder.rglob("*")) == before


@pytest.mark.training
def test_a_second_process_is_refused(folder, compared, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    with FileLock(folder / "runs" / "compare" / "tiny" / ".lock"), pytest.raises(SystemExit) as stop:
        main(["compare", *ONE_EPOCH])
    assert stop.value.code == 2
    assert capfd.readouterr().err == "akyolo: runs/compare/tiny: is being run by another process\n"


def child_of(process):
    return int(subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, check=True).stdout)


def quick(name, *words):
    return ["tiny.yaml", "--name", name, *words, "--where", "1", "--seeds", "1", "data=data.yaml", "epochs=3", *QUICK]


@pytest.mark.training
def test_a_killed_command_takes_its_run_along_and_the_same_command_resumes_it(folder):
    home = folder / "runs" / "compare" / "killed" / "Conv-seed0"
    process = start(folder, *quick("killed", "--ops", "Conv"))
    wait_for(home / "weights" / "last.pt", process)
    process.kill()
    process.communicate()
    with FileLock(home / ".lock", timeout=10):
        assert not (home / "record.json").exists()
    compare(folder, *quick("killed", "--ops", "Conv"))
    check_resumed(home)


def maps_of_children(process):
    """Yield which files each child has in memory: its interpreter may not have come to our code yet."""
    for pid in subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, check=False).stdout.split():
        with contextlib.suppress(OSError):
            yield Path("/proc", pid.decode(), "maps").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 0.3])
def test_ctrl_c_while_a_run_starts_is_130_and_silent(folder, seconds):
    """The terminal sends it to the command and to its run, which is still importing."""
    process = start(folder, *quick(f"interrupted-{seconds}", "--ops", "Conv"), start_new_session=True)
    while not any("libtorch" in maps for maps in maps_of_children(process)):
        assert process.poll() is None
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    err = process.communicate()[1]
    assert "Traceback" not in err and process.returncode == 130, err


@pytest.mark.training
def test_a_killed_run_is_named_the_others_go_on_and_the_same_command_resumes_it(folder):
    words = quick("run", "--ops", "Conv,AKConv:5")
    home = folder / "runs" / "compare" / "run" / "Conv-seed0"
    process = start(folder, *words)
    wait_for(home / "weights" / "last.pt", process)
    os.kill(child_of(process), signal.SIGKILL)
    out, err = process.communicate()
    assert process.returncode == 1 and list(records_of(home.parent)) == ["AKConv-5-seed0"]
    assert f"akyolo: 1 failed: runs/compare/run/{home.name} (signal 9); the same command tries again\n" in err
    first, second = json.loads((home.parent / "table.json").read_text())["rows"]
    assert first["seeds"] == [] and second["seeds"] == [0] and second["ms"] > 0 and second["ms_ratio"] is None
    assert "| Conv     | not run" in out
    out, _ = compare(folder, *words)
    check_resumed(home)
    first, second = json.loads((home.parent / "table.json").read_text())["rows"]
    assert first["ms_ratio"] == 1 and second["ms_ratio"] > 0 and "not run" not in out


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("Conv", {"Conv": None}),
        (
            " Conv , AKConv:5,AKConv : 3:shape=[[0,0],[1,1],[.5,2]]:padding_mode=border",
            {
                "Conv": None,
                "AKConv:5": SwapRule("AKConv", (5,), "all"),
                "AKConv:3:shape=[[0,0],[1,1],[.5,2]]:padding_mode=border": SwapRule(
                    "AKConv", (3,), "all", {"shape": [[0, 0], [1, 1], [0.5, 2]], "padding_mode": "border"}
                ),
            },
        ),
        (
            "X:a:{b: [1, 2]}:None:c=true",
            {"X:a:{b: [1, 2]}:None:c=true": SwapRule("X", ("a", {"b": [1, 2]}, None), "all", {"c": True})},
        ),
        ("Conv:3", {"Conv:3": SwapRule("Conv", (3,), "all")}),
    ],
)
def test_operators_are_read_as_a_row_would_write_them(text, rules):
    assert read_operators(text, "all") == rules


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' lacks a name or a value"),
        ("Conv,", "'' lacks a name or a value"),
        (":5", "':5' lacks a name"),
        ("AKConv:", "'AKConv:' lacks a name or a value"),
        ("AKConv::5", "'AKConv::5' lacks"),
        ("AKConv:5:shape=", "shape needs one value"),
        ("AKConv:5:shape=a:shape=b", "shape needs one value"),
        ("AKConv:[5", "'AKConv:.5' is not YAML"),
        ("AKConv:5,AKConv: 5", "'AKConv: 5' is given twice"),
        ("Conv,Conv", "'Conv' is given twice"),
    ],
)
def test_operators_that_cannot_be_read_are_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        read_operators(text, "all")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["yolov8n.yaml", "--ops", "AKCon:5", "--where", "downsample"], "unknown operator 'AKCon'\n  did you mean"),
        (["yolov8n.yaml", "--ops", "AKConv", "--where", "downsample"], "missing a required argument: 'num_param'"),
        (["yolov8n.yaml", "--ops", "AKConv:3:shape=a", "--where", "downsample"], "shape has 5 points"),
        (["yolov8n.yaml", "--ops", "AKConv:0", "--where", "downsample"], "num_param=0 must be"),
        (["yolov8n.yaml", "--ops", "AKConv:5,AKConv:5", "--where", "downsample"], "--ops: 'AKConv:5' is given twice"),
        (["yolov8n.yaml", "--ops", "AKConv:", "--where", "downsample"], "--ops: 'AKConv:' lacks a name or a value"),
        (["yolov8n.yaml", "--ops", "AKConv:5", "--where", "elan_last"], "elan_last looks for"),
        (["yolov8n.yaml", "--ops", "Conv:3", "--where", "downsample"], "downsample changes nothing"),
        (["odd.yaml", "--ops", "Conv,AKConv:5", "--where", "1"], "cannot be built"),
        (
            ["yolov8n.yaml", "--ops", "Conv", "--where", "1", "--seeds", "0"],
            "--seeds: 0 must be a whole number",
        ),
        (
            ["yolov8n.yaml", "--ops", "Conv", "--where", "1", "--name", "../up"],
            "'../up' cannot name a folder\n  give one by --name",
        ),
        (["my yolov8n.yaml", "--ops", "Conv", "--where", "1"], "'my yolov8n' cannot name a folder\n  give one"),
        (["yolov8n.yaml", "--ops", "Conv", "--where", "1", "--name", "n" * 101], "cannot name a folder"),
        (["yolov8n.yaml", "--ops", "Conv,CondConv:3", "--where", "1", "offset_lr=.1"], "'offset_lr' has no effect"),
        (["yolov8n-seg.yaml", "--ops", "Conv", "--where", "1"], "yolov8n-seg.yaml is a model for segment"),
        (["yolov8n.pt", "--ops", "Conv", "--where", "1"], "yolov8n.pt is not a model YAML"),
        (["yolov8q.yaml", "--ops", "Conv", "--where", "1"], "there is no model file 'yolov8q.yaml'"),
        (
            ["yolov8n.yaml", "--ops", "Conv", "--where", "1", "epoch=3"],
            "unknown argument 'epoch'\n  did you mean 'epochs'",
        ),
        (["yolov8n.yaml", "--ops", "Conv", "--where", "1", "epochs=x"], "'epochs=x' is of invalid type"),
        (["yolov8n.yaml", "--ops", "Conv", "--where", "1", "data=no.yaml"], "there is no data set file 'no.yaml'"),
        (["yolov8n.yaml", "--ops", "Conv", "--where", "1", "data=folder"], "data=folder is not a data YAML"),
        (["yolov8n.yaml", "--ops", "Conv", "--where", "1", "data=['a.yaml','b.yaml']"], "several data sets"),
        (["yolov8n.yaml", "--ops", "Conv", "--where", "1", "obj=2"], "'obj=2' has no effect"),
        (["yolov8n.yaml", "--ops", "Conv", "--where", "1", "other.yaml"], "2 models named"),
        (["--ops", "Conv", "--where", "1", "epochs=2"], "0 models named"),
        (["yolov8n.yaml", "--ops", "Conv", "--where", "1", "epochs="], "needs a key and a value"),
        *(
            (["yolov8n.yaml", "--ops", "Conv", "--where", "1", pair], f"{pair.split('=')[0]}: an option of compare\n")
            for pair in ("seeds=2", "name=x")
        ),
        *(
            (["yolov8n.yaml", "--ops", "Conv", "--where", "1", pair], f"{pair.split('=')[0]}: compare sets it itself")
            for pair in ("seed=3", "project=x", "resume=True", "model=x.yaml", "save_dir=x", "cfg=x.yaml")
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_named_and_nothing_written(in_tmp, fails, words, message):
    Path("odd.yaml").write_text(PLAIN.replace("nc: 2", "nc: many"))
    assert message in fails("compare", *words)


def test_a_folder_of_something_else_is_refused(in_tmp, fails):
    Path("runs/compare/mine").mkdir(parents=True)
    Path("runs/compare/mine/notes.txt").write_text("mine")
    message = fails("compare", "yolov8n.yaml", "--ops", "Conv", "--where", "1", "--name", "mine")
    assert "runs/compare/mine: is not empty and has no spec.yaml" in message


@pytest.mark.parametrize("file", ["runs", "runs/compare", "runs/compare/yolov8n"])
def test_a_folder_that_cannot_be_made_is_named(in_tmp, fails, file):
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text("mine")
    message = fails("compare", "yolov8n.yaml", "--ops", "Conv", "--where", "1")
    assert message.startswith("akyolo: runs/compare/yolov8n: cannot be written: ")
    assert Path(file).read_text() == "mine"


def test_a_folder_with_a_broken_spec_is_refused(in_tmp, fails):
    Path("runs/compare/yolov8n").mkdir(parents=True)
    Path("runs/compare/yolov8n/spec.yaml").write_text("tables: [")
    message = fails("compare", "yolov8n.yaml", "--ops", "Conv", "--where", "1")
    assert "runs/compare/yolov8n/spec.yaml: cannot be read as a spec" in message


def test_options_and_pairs_stand_in_any_order(in_tmp, fails):
    words = ["epochs=2", "--ops", "Conv", "yolov8n.yaml", "--where", "1", "seed=1"]
    assert "seed: compare sets it itself" in fails("compare", *words)


def test_help_says_what_comes_out(capsys):
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    out = capsys.readouterr().out
    for said in ("--ops Conv,AKConv:5", "table.md", "plot.png", "record.json", "NAME[:argument...][:key=value...]"):
        assert said in out
