"""A paper's figures next to ours, from records that were written by hand."""

import json

import pytest
import yaml

from akyolo.cost import Cost
from akyolo.experiments.run.deviations import Deviation, describe_deviations, find_deviations
from akyolo.experiments.spec.select import override
from akyolo.experiments.spec.spec_file import read_table
from akyolo.experiments.spec.table_spec import TableRun
from akyolo.experiments.table.report import render, write_report
from tests.helpers.records import record

CONTENT = {
    "paper": "A paper",
    "data": {"voc": {"classes": 20, "images": {"train": 90, "val": 8}, "prepare": "voc"}},
    "tables": [
        {
            "table": 3,
            "data": "voc",
            "recipe": "yolov5",
            "settings": {"epochs": 300, "batch": 4, "imgsz": 640},
            "protocol": "yolov5",
            "evaluation": {"conf": 0.001, "iou": 0.6, "max_det": 300},
            "assumed": ["evaluation"],
            "rows": [
                {"row": "b", "base": "b.yaml", "printed": {"params_m": 1.77, "gflops": 4.2, "P": 38.5, "mAP": 13.4}},
                {"row": "s", "base": "b.yaml", "printed": {"params_m": 1.41, "gflops": 3.5, "P": 37.9, "mAP": 13.2}},
                {"row": "t", "base": "b.yaml", "printed": {"P": 1.0, "mAP": 2.0}, "note": "an odd one"},
            ],
        }
    ],
}
COUNTS = {"b": Cost(1_772_695, 4.1671), "s": Cost(1_412_731, 3.4937)}
FULL = {"train": 90, "val": 8}
DATA = {"data": "voc/data.yaml"}


def read(folder, seeds=(0, 1), tables=None, **overrides):
    file = folder / "spec.yaml"
    file.write_text(yaml.safe_dump({**CONTENT, "seeds": list(seeds), "tables": tables or CONTENT["tables"]}))
    return override(read_table(file), overrides)


def scored(row, seed, precision, mean, **more):
    metrics = {"P": precision, "R": 0.2, "mAP50": 0.3, "mAP": mean}
    fields = {"asked": {"protocol": "yolov5"}, "images": FULL, "metrics": {"yolov5": metrics}}
    return record(table=3, row=row, seed=seed, **fields | more)


RECORDS = [scored("b", 0, 0.38, 0.13), scored("b", 1, 0.4, 0.15), scored("s", 0, 0.381, None)]


def cells(text):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]


def test_paper_ours_and_difference_in_percent(tmp_path):
    lines = cells(render(tmp_path, read(tmp_path, **DATA), RECORDS, COUNTS))
    names = ["P: paper", "ours", "difference", "mAP: paper", "ours", "difference"]
    assert lines[0] == ["row", *names, "params (M): paper", "ours", "GFLOPs: paper", "ours"]
    # (38 + 40) / 2 = 39, less 38.5; spread of 38, 40: sqrt(2)
    first = ["38.5", "39.00 ± 1.41", "+0.50", "13.4", "14.00 ± 1.41", "+0.60"]
    assert lines[2] == ["b", *first, "1.77", "1.77", "4.2", "4.2"]
    # One seed of two. A metric that could not be measured is not zero.
    assert lines[3] == ["s", "37.9", "38.10 (n=1)", "+0.20", "13.2", "-", "-", "1.41", "1.41", "3.5", "3.5"]
    assert lines[4] == ["t", "1.0", "not run", "-", "2.0", "not run", "-", "-", "-", "-", "-"]
    assert lines[5] == ["row", "ms / image", "ratio", "s / epoch", "peak MiB"]
    assert lines[7] == ["b", "-", "-", "4.0", "300"] and lines[9] == ["t", *["not run"] * 4]


def test_the_notes_say_how_the_figures_were_measured(tmp_path):
    table = write_report(tmp_path, read(tmp_path, **DATA), RECORDS, COUNTS)
    text = (tmp_path / "table.md").read_text()
    assert text.startswith("# Table 3 of A paper: b.yaml on voc/data.yaml, 3 epochs, seeds 0, 1\n")
    for note in (
        "- paper: as A paper prints it, in percent; not measured here.",
        "- Evaluation: protocol yolov5, conf 0.001, NMS IoU 0.6, max_det 300.",
        "- Assumed, since the paper does not say: evaluation.",
        "- Data: voc/data.yaml stands for the paper's voc.",
        "- t: an odd one.",
        "- Labels: ab12.",
    ):
        assert f"{note}\n" in text
    assert json.loads((tmp_path / "table.json").read_text()) == json.loads(json.dumps(table))
    beside = table["beside"]
    assert beside["b"]["difference"] == {"P": pytest.approx(0.5), "mAP": pytest.approx(0.6)}
    assert beside["b"]["counted"] == {"params": 1_772_695, "gflops": 4.1671}
    assert beside["s"]["difference"]["mAP"] is None and beside["t"]["printed"] == {"P": 1.0, "mAP": 2.0}
    assert "changed" not in table and "hortened" not in text
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_shortened_run_says_so_in_the_table(tmp_path):
    spec = read(tmp_path, epochs=2, imgsz=320, device="cpu", workers=0, **DATA)
    records = [scored("b", 0, 0.38, 0.13, images={"train": 64, "val": 8})]
    table = write_report(tmp_path, spec, records, COUNTS)
    text = (tmp_path / "table.md").read_text()
    said = "epochs 2 of 300, imgsz 320 of 640, train images 64 of 90"
    assert f"\n**Shortened, not as the table states it: {said}.**\n\n| row" in text
    assert cells(text)[0][2] == "ours (shortened)" and table["changed"] == said.split(", ")
    requested = TableRun(spec, spec.rows[0], 0).requested()
    assert (requested["settings"]["epochs"], requested["stated"]["settings"]["epochs"]) == (2, 300)


@pytest.mark.parametrize(
    ("overrides", "record", "expected"),
    [
        ({"device": "cpu", "workers": 0, "plots": False, "cache": True}, {}, []),
        ({"epochs": 400}, {}, [Deviation("epochs 400 instead of 300", False)]),
        ({"lr0": 0.1}, {}, [Deviation("lr0 0.1 (not stated)", False)]),
        ({"fraction": 0.5}, {"images": {"train": 45, "val": 8}}, "fraction 0.5 (not stated), train images 45 of 90"),
        ({"iou": 0.5}, {}, [Deviation("iou 0.5 instead of 0.6", False)]),
        ({"recipe": "yolov8"}, {}, [Deviation("recipe yolov8 instead of yolov5", False)]),
        ({}, {"batch": 2}, [Deviation("batch 2 of 4", True)]),
        ({}, {"images": {"train": 91, "val": 8}}, [Deviation("train images 91 instead of 90", False)]),
        ({}, {"images": {"train": 90}}, [Deviation("val images 0 of 8", True)]),
        ({"fraction": 0.5}, {}, [Deviation("fraction 0.5 (not stated)", True)]),
        ({"fraction": 1.0}, {}, [Deviation("fraction 1.0 (not stated)", False)]),
        ({"time": 0.5}, {}, [Deviation("time 0.5 (not stated)", True)]),
        ({"imgsz": [320, 320]}, {}, [Deviation("imgsz [320, 320] instead of 640", False)]),
        ({"batch": -1}, {}, [Deviation("batch -1 instead of 4", False)]),  # as much as fits
        ({"batch": 0.6}, {}, [Deviation("batch 0.6 instead of 4", False)]),
    ],
    ids=str,
)
def test_what_is_other_than_stated(tmp_path, overrides, record, expected):
    spec = read(tmp_path, **DATA, **overrides)
    deviations = find_deviations(spec, [scored("b", 0, 0.1, 0.1, **record), scored("s", 0, 0.1, 0.1, **record)])
    if isinstance(expected, str):
        assert ", ".join(deviation.what for deviation in deviations) == expected
        assert describe_deviations(deviations).startswith("Shortened")
    else:
        assert deviations == expected


def test_a_training_that_stopped_early_is_a_shortened_one(tmp_path):
    """Patience ended it, or its time was over."""
    curve = [{"epoch": 1, "seconds": 1.0}, {"epoch": 2, "seconds": 1.0}]
    records = [
        scored("b", 0, 0.4, 0.1),
        scored("b", 1, 0.4, 0.1, curve=curve),
        scored("s", 0, 0.4, 0.1, curve=curve[:1]),
    ]
    (deviation,) = find_deviations(read(tmp_path, **DATA), records)
    assert deviation == Deviation("2 of 3 runs ended before their last epoch, the first after epoch 1", True)


def test_without_printed_figures_it_is_a_comparison(tmp_path):
    (table,) = CONTENT["tables"]
    rows = [{"row": row["row"], "base": row["base"]} for row in table["rows"]]
    spec = read(tmp_path, tables=[{**table, "rows": rows}], **DATA)
    lines = cells(render(tmp_path, spec, RECORDS[:2], {}))
    assert lines[0][:4] == ["row", "mAP50", "mAP", "params (M)"]
    assert lines[2][:4] == ["b", "0.300 ± 0.000", "0.140 ± 0.014", "1.235"]
    assert lines[3] == ["s", *["not run"] * 8]
