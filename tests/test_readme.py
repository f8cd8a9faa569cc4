"""Figures of README and documentation are those of the records, their rows build, the README's Python trains."""

import json
import os
import re
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from akyolo.cli import main
from akyolo.experiments.run.store import read_records
from akyolo.experiments.spec.spec_file import read_table
from akyolo.registry import operator, operators
from akyolo.scoring.protocols import PROTOCOLS
from akyolo.upstream.build import build_detector
from tests.helpers.readme_blocks import TEXTS, folders, fresh, table
from tests.helpers.tiny_training import MODEL, write_images

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECORDS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "runs" / "records").glob("*.json"))}
MEASUREMENTS, REPRODUCE, EVALUATION = (
    (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8") for page in ("measurements", "reproduce", "evaluation")
)
QUOTES = [(path, folder) for path in TEXTS for folder in folders(path.read_text(encoding="utf-8"))]
BLOCKS = [
    text for path in TEXTS for text in re.findall(r"```yaml\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
]
ROWS = [row for text in BLOCKS for row in yaml.safe_load(text)]
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("row", [row for row in ROWS if "StripConv" not in row[2]], ids=str)
def test_rows(row):
    model = yaml.safe_load(MODEL)
    model["backbone"][1] = row
    assert build_detector(model)


def test_every_operator_is_in_the_table_of_operators():
    table = dict(re.findall(r"^\| `(\w+), (\[.*?\])`", README, re.MULTILINE))
    assert {operator(name).module for name in table} == {spec.module for spec in operators()}
    for name, arguments in table.items():
        model = yaml.safe_load(MODEL)
        model["backbone"][1] = [-1, 1, name, yaml.safe_load(arguments)]
        assert build_detector(model)


@pytest.mark.training
def test_plain_ultralytics_trains_our_yaml(tmp_path):
    """The block as it is but for less work and for where results go."""
    write_images(tmp_path, 4, 2)
    (tmp_path / "data.yaml").rename(tmp_path / "mydata.yaml")
    (tmp_path / "cfg").symlink_to(ROOT / "cfg")
    less = f"epochs=1, imgsz=32, batch=4, workers=0, device='cpu', plots=False, project={str(tmp_path)!r}"
    script = PYTHON[0].replace("epochs=100", less)
    assert script.startswith("import akyolo\n") and less in script
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0 and list(tmp_path.rglob("best.pt")), run.stdout + run.stderr


@pytest.mark.parametrize("name", [name for name, record in RECORDS.items() if "curve" in record])
def test_trainings(name):
    record = RECORDS[name]
    assert record["last"] == record["curve"][-1]
    row = f"| {record['last']['map50']:.3f} | {record['last']['map']:.3f} | {record['cpu_s']:.0f} |"
    assert row in MEASUREMENTS


def test_speed_of_the_operator():
    for variant, values in RECORDS["bench-ops-cpu"]["summary"]["forward+backward"].items():
        if not variant.startswith("plain"):
            ratios = (values[f"geomean_ratio_to_{other}"] for other in ("four_gather", "plain"))
            row = " | ".join(f"{ratio:.2f}" for ratio in (*ratios, values["kept_ratio_to_plain"]))
            assert f"| {row} |" in MEASUREMENTS


def test_speed_of_the_deformable_convolution():
    summary = RECORDS["bench-deform-conv-cpu"]["summary"]
    for variant in ("deform_conv2d", "deform_conv2d channels_last", "ours", "ours channels_last"):
        inference, training = (summary[of][variant] for of in ("forward", "forward+backward"))
        ratios = [of["geomean_ratio_to_torchvision"] for of in (inference, training)]
        row = " | ".join(f"{ratio:.2f}" for ratio in (*ratios, training["kept_ratio_to_plain"]))
        assert f"| {row} |" in MEASUREMENTS


@pytest.mark.parametrize("path", [*dict(QUOTES)], ids=lambda path: path.name)
def test_tables_of_series_are_made_of_their_records_once_more(path):
    text = path.read_text(encoding="utf-8")
    assert fresh(text) == text, "python -m tests.helpers.readme_blocks writes them"


@pytest.mark.parametrize(("path", "folder"), QUOTES, ids=lambda path: path.name)
def test_a_quoted_series_lies_there_with_its_plot(path, folder):
    assert read_records(folder, read_table(folder / "spec.yaml")) and table(folder) in (folder / "table.md").read_text()
    plot = folder / "plot.png"
    assert f"]({os.path.relpath(plot, path.parent)})" in path.read_text(encoding="utf-8") and plot.exists()


@pytest.mark.parametrize(("name", "runs"), [("compare-shapes", 12), ("mini-yolov8n", 33)])
def test_a_series_is_quoted_whole(name, runs):
    folder = ROOT / "runs" / "records" / name
    assert (
        folder in folders(MEASUREMENTS + REPRODUCE)
        and len(read_records(folder, read_table(folder / "spec.yaml"))) == runs
    )


def test_what_the_miniature_says_of_the_papers_claims():
    folder = ROOT / "runs" / "records" / "mini-yolov8n"
    found = read_records(folder, read_table(folder / "spec.yaml"))
    assert all(max(record.curve, key=lambda epoch: epoch["mAP"])["epoch"] == 10 for record in found)
    names = {record.row: record.row.removeprefix("N=5, initial shape ") for record in found}
    of = {name: [r.metrics["ultralytics"]["mAP"] for r in found if r.row == row] for row, name in names.items()}
    mean = {row: statistics.mean(values) for row, values in of.items()}
    params = {names[record.row]: record.params / 1e6 for record in found}

    def always(less, more):
        return all(one < other for one, other in zip(of[less], of[more], strict=True))

    assert [round((params[f"N={n}"] - params["N=3"]) / (n - 3), 3) for n in (5, 9)] == [0.072, 0.072]
    assert [round(params[f"N={n}"] / params["baseline"], 2) for n in (5, 9)] == [0.93, 1.02]
    assert max(mean, key=mean.get) == "baseline" and always("N=3", "baseline")
    assert 0 < mean["baseline"] - mean["N=9"] < statistics.stdev(of["N=9"])
    assert always("N=3", "N=5") and mean["N=5"] < mean["N=9"]
    assert [max("abcde", key=mean.get), min("abcde", key=mean.get)] == ["a", "d"]
    assert all(always("d", shape) for shape in "abe")
    assert sum(one > other for one, other in zip(of["N=5"], of["DSConv=5"], strict=True)) == 2
    assert mean["DSConv=5"] < mean["N=5"] and abs(mean["N=9"] - mean["Deformable Conv=3"]) < 0.01


def test_speed_of_the_model():
    rows = {row["pass"]: row for row in RECORDS["bench-model-cpu"]["rows"] if "akconv5" in row["variant"]}
    assert f"takes {rows['training step']['ratio']:.2f} of" in MEASUREMENTS
    assert f"inference {rows['inference']['ratio']:.2f} (" in MEASUREMENTS


def test_the_plan_of_a_table(tmp_path, monkeypatch, capfd):
    """Its command prints what stands below it, given such a data set."""
    _, command, plan = re.search(r"\$ (akyolo data prepare .*)\n\$ akyolo (.*)\n((?:[^$].*\n)+)", REPRODUCE).groups()
    write_images(tmp_path, 2, 2)
    (tmp_path / "visdrone").mkdir()
    data = yaml.safe_load((tmp_path / "data.yaml").read_text()) | {"names": [f"class {number}" for number in range(10)]}
    (tmp_path / "visdrone" / "data.yaml").write_text(yaml.safe_dump(data))
    monkeypatch.chdir(tmp_path)
    main(shlex.split(command))
    assert capfd.readouterr().out == plan


def test_one_file_under_all_protocols():
    scores = RECORDS["score-shapes-yolov8n"]["scores"]
    assert [one["protocol"] for one in scores] == list(PROTOCOLS)
    for one in scores:
        names = [("P",), ("R",), ("mAP50", "AP50"), ("mAP", "AP")]
        cells = [next((f"{one['metrics'][n]:.3f}" for n in pair if n in one["metrics"]), "-") for pair in names]
        assert f"| `{one['protocol']}` | {' | '.join(cells)} |" in EVALUATION
        nms, labels = f"{one['nms_iou']:g}, max_det {one['max_det']}", one["labels_sha256"][:12]
        assert f"NMS IoU {nms}, {one['images']} images, labels `{labels}`" in " ".join(EVALUATION.split())
