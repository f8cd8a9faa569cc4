"""`akyolo reproduce`, with trainings of seconds: killed, resumed and rendered; and wrong words."""

import json
import subprocess
import sys

import pytest
import yaml
from filelock import FileLock

from akyolo.cli import main
from tests.helpers.tiny_training import check_resumed, wait_for, write_plain

EVALUATION = {"conf": 0.001, "iou": 0.6, "max_det": 300}
SWAP = {"op": "AKConv", "args": [5], "where": "downsample"}
TABLE = {
    "table": 3,
    "data": "tiny-set",
    "recipe": "yolov8",
    "settings": {"epochs": 300, "imgsz": 64, "batch": 4},
    "protocol": "yolov5",
    "evaluation": EVALUATION,
    "assumed": ["evaluation"],
    "rows": [
        {"row": "baseline", "base": "tiny.yaml", "printed": {"params_m": 0.09, "gflops": 1.3, "P": 38.5, "mAP": 13.4}},
        {"row": "N=5", "base": "tiny.yaml", "swap": SWAP, "printed": {"params_m": 0.1, "P": 37.9, "mAP": 13.2}},
    ],
}
SPEC = {
    "paper": "A paper",
    "data": {
        "tiny-set": {"classes": 2, "images": {"train": 24, "val": 4}, "prepare": "voc"},
        "other-set": {"prepare": "coco"},
    },
    "tables": [
        TABLE,
        {
            **TABLE,
            "table": "sizes",
            "protocol": "coco",
            "rows": [{**TABLE["rows"][0], "printed": {"AP50": 45.6, "AP": 27.5}}],
        },
        {**TABLE, "table": "elsewhere", "data": "other-set"},
    ],
}
EPOCHS = 5  # so that a kill after the first comes before the last
QUICK = [f"epochs={EPOCHS}", "data=data.yaml", "nbs=4", "device=cpu", "optimizer=SGD", "mosaic=0", "plots=False"]
BOTH = ["--spec", "mine.yaml", "--table", "sizes,3", "--seeds", "1", *QUICK]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = write_plain(tmp_path_factory.mktemp("数据 集é"))
    (folder / "mine.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    return folder


def start(folder, *words):
    command = [sys.executable, "-m", "akyolo.cli", "reproduce", *words]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def reproduced(folder):
    """Two tables; the command was killed in its first training, then the same command resumed it."""
    home = folder / "runs" / "reproduce" / "mine" / "3" / "baseline-seed0"
    process = start(folder, *BOTH)
    wait_for(home / "weights" / "last.pt", process)
    process.kill()
    process.communicate()
    with FileLock(home / ".lock", timeout=10):
        assert not (home / "record.json").exists()
    process = start(folder, *BOTH)
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    return home.parents[1], out


def records_of(home):
    return {str(file.parent.relative_to(home)): json.loads(file.read_text()) for file in home.glob("*/*/record.json")}


@pytest.mark.training
def test_a_killed_command_resumes(reproduced):
    home, out = reproduced
    records = records_of(home)
    assert records.keys() == {"3/baseline-seed0", "3/N=5-seed0", "sizes/baseline-seed0"}
    check_resumed(home / "3" / "baseline-seed0", EPOCHS)
    assert len(records["3/N=5-seed0"]["starts"]) == 1
    assert all([epoch["epoch"] for epoch in record["curve"]] == [1, 2, 3, 4, 5] for record in records.values())
    assert "seed 0 resumes" in out and "3 runs: 0 done, 1 resumes, 2 to run\nGPU-hours: unknown" in out
    assert out.index("mine/3/baseline-seed0") < out.index("mine/3/N=5-seed0") < out.index("mine/sizes/baseline-seed0")


@pytest.mark.training
def test_a_record_holds_what_the_table_states_and_what_was_used(reproduced):
    for record in records_of(reproduced[0]).values():
        assert record["asked"]["stated"] == {"data": "tiny-set", "settings": TABLE["settings"]}
        assert record["asked"]["settings"]["epochs"] == record["settings"]["epochs"] == EPOCHS
        assert record["settings"]["recipe"] == "yolov8" and record["images"]["train"] == 12


@pytest.mark.training
def test_its_tables_stand_next_to_the_papers_and_say_what_was_shortened(reproduced):
    home, out = reproduced
    for table, names in {"3": ["P", "mAP"], "sizes": ["AP50", "AP"]}.items():
        text = (home / table / "table.md").read_text()
        assert text in out and text.startswith(f"# Table {table} of A paper: tiny.yaml")
        assert (
            "**Shortened, not as the table states it: epochs 5 of 300, " in text and "train images 12 of 24.**" in text
        )
        heads = next(line for line in text.splitlines() if line.startswith("| row")).split("|")[1:-1]
        triples = [head for name in names for head in (f"{name}: paper", "ours (shortened)", "difference")]
        assert [head.strip() for head in heads][1 : 1 + len(triples)] == triples
        assert (home / table / "plot.png").read_bytes().startswith(b"\x89PNG")
    record = records_of(home)["3/N=5-seed0"]
    row = json.loads((home / "3" / "table.json").read_text())["beside"]["N=5"]
    assert row["difference"]["P"] == pytest.approx(100 * record["metrics"]["yolov5"]["P"] - 37.9)
    assert row["counted"]["params"] > 80_000


@pytest.mark.training
def test_the_same_command_again_only_renders_and_its_json_is_alone(folder, reproduced):
    home, _ = reproduced
    kept = {file: file.stat().st_mtime_ns for file in [*home.glob("*/*/*"), *home.glob("*/spec.yaml")]}
    (home / "3" / "table.md").unlink()
    out, err = start(folder, *BOTH, "--json").communicate()
    assert json.loads(out) == [json.loads((home / table / "table.json").read_text()) for table in ("3", "sizes")]
    assert err.count(" is done") == 3 and "3 runs: 3 done" in err and "GPU-hours: none" in err
    assert (home / "3" / "table.md").exists() and kept == {file: file.stat().st_mtime_ns for file in kept}


@pytest.mark.training
def test_a_plan_runs_nothing_and_needs_no_data(folder, reproduced, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    main(
        ["reproduce", "--spec", "mine.yaml", "--name", "new", "--table", "3", "--rows", "N=5", "--plan", "--seeds", "2"]
    )
    out = capfd.readouterr().out
    assert "data        tiny-set, not named yet: data=FILE (akyolo data prepare voc)" in out
    assert "2 runs: 0 done, 0 resumes, 2 to run\n" in out and "baseline " not in out
    main(["reproduce", *BOTH, "--plan", "--json"])
    plan = json.loads(capfd.readouterr().out.split("GPU-hours: none\n")[1])
    assert [(run["table"], run["row"], run["state"]) for run in plan] == [
        (3, "baseline", "done"),
        (3, "N=5", "done"),
        ("sizes", "baseline", "done"),
    ]
    assert sorted(folder.rglob("*")) == before


def fails(capfd, *words):
    with pytest.raises(SystemExit) as stop:
        main(["reproduce", *words])
    err = capfd.readouterr().err
    assert stop.value.code == 2 and err.startswith("akyolo: ") and err.count("\n") <= 2
    return err


@pytest.mark.training
def test_a_second_process_and_other_settings_are_refused(folder, reproduced, monkeypatch, capfd):
    home, _ = reproduced
    monkeypatch.chdir(folder)
    with FileLock(home / "sizes" / ".lock"):
        assert "mine/sizes: is being run by another process" in fails(capfd, *BOTH[:2], "--table", "sizes", *BOTH[4:])
    longer = [word.replace("epochs=5", "epochs=6") for word in BOTH]
    message = "mine/3: has other runs: epochs is 5 in spec.yaml, {} in the command\n  use another --name"
    assert message.format(6) in fails(capfd, *longer)
    stated = [word for word in BOTH if word != "epochs=5"]
    assert message.format(300) in fails(capfd, *stated)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--table", "4"], "--table: there is no table '4'\n  known: 3, elsewhere, sizes"),
        (["--table", "3", "--rows", "N=55"], "--rows: there is no row 'N=55'\n  did you mean 'N=5'?"),
        (["--table", "3", "--seeds", "0"], "--seeds: 0 must be a whole number of at least 1"),
        (["--table", "3", "--name", "../up"], "'../up' cannot name a folder"),
        (["--table", "3", "--name", ""], "'' cannot name a folder"),
        (
            ["--table", "3"],
            "table 3: tiny-set is only a name; its data YAML must be given\n"
            "  `akyolo data prepare voc --root DIR` makes it",
        ),
        (["--table", "3", "data=no.yaml"], "table 3: there is no data set file 'no.yaml'"),
        (["--table", "3", "data=shapes.yaml"], "table 3: shapes.yaml has 6 classes, tiny-set has 2"),
        (["data=data.yaml"], "data= is one data set, and the tables are on other-set, tiny-set\n  choose by --table"),
        (["--table", "3", "seed=3"], "seed: reproduce sets it itself"),
        (["table=3"], "table: an option of reproduce\n  write --table"),
        (["--table", "3", "--rows", "baseline", "N=5"], "'N=5' is a row\n  write --rows 'N=5'"),
        (["--table", "3", "epoch=3", "data=data.yaml"], "table 3: unknown argument 'epoch'\n  did you mean 'epochs'"),
        (["--table", "3", "iou=2", "data=data.yaml"], "table 3: "),
        (["3"], "'3' is not key=value\n  tables are named by --table"),
        (["--static", "epochs=3"], "--static trains nothing"),
        (["--spec", "none.yaml"], "none.yaml: cannot be read as a spec: "),
        (
            ["--spec", "typing.yaml"],
            "typing.yaml: is not a valid spec: table 3: unknown key 'setings'\n  did you mean 'settings'",
        ),
        (["--spec", "seeded.yaml", "--table", "3", "data=data.yaml"], "table 3: seed: reproduce sets it itself"),
        (["--spec", "scored.yaml", "--table", "3", "data=data.yaml"], "table 3: there is no protocol 'coca'"),
        (["--spec", "wrong.yaml", "--table", "3", "data=data.yaml"], "table 3: unknown operator 'AKCon'"),
        (
            ["--spec", "split.yaml", "--table", "3", "data=data.yaml"],
            "table 3, evaluation: split decides which images, not how\n  move it to settings",
        ),
        (["--spec", "moved.yaml", "--table", "3", "data=data.yaml"], "table 3: save_dir: reproduce sets it itself"),
        (["--spec", "weights.yaml", "--table", "3", "data=data.yaml"], "table 3: there is no model file 'b.pt'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_named_and_nothing_written(folder, tmp_path, monkeypatch, capfd, words, message):
    monkeypatch.chdir(tmp_path)
    for name in ("tiny.yaml", "data.yaml", "mine.yaml"):
        (tmp_path / name).write_text((folder / name).read_text())
    operator = {**TABLE["rows"][1], "swap": {**SWAP, "op": "AKCon"}}
    for name, change in {
        "typing": {"setings": {}},
        "seeded": {"settings": {"seed": 3}},
        "scored": {"protocol": "coca"},
        "wrong": {"rows": [operator]},
        "split": {"evaluation": {"split": "train"}},
        "moved": {"evaluation": {"save_dir": "elsewhere"}},
        "weights": {"rows": [{"row": "b", "base": "b.pt"}]},
    }.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({**SPEC, "tables": [{**TABLE, **change}]}))
    before = sorted(tmp_path.rglob("*"))
    said = fails(capfd, *([] if "--spec" in words else ["--spec", "mine.yaml"]), *words)
    assert message in said, said
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.training
def test_a_failed_run_is_named_and_the_rest_goes_on(folder, monkeypatch, capfd):
    """The exit code is 1. Nothing is trained: `run_here` is replaced."""
    monkeypatch.chdir(folder)
    codes = iter([3, -9])
    monkeypatch.setattr("akyolo.experiments.launch.local.run_here", lambda *run: next(codes))
    with pytest.raises(SystemExit) as stop:
        main(["reproduce", *BOTH[:2], "--name", "failing", "--table", "3", *BOTH[4:]])
    first = "akyolo: 2 failed: runs/reproduce/failing/3/baseline-seed0 (exit code 3), "
    assert stop.value.code == 1 and f"{first}runs/reproduce/failing/3/N=5-seed0 (signal 9); " in capfd.readouterr().err
    assert (folder / "runs/reproduce/failing/3/table.md").read_text().count("not run") == 2 * 2 + 2 * 4
