"""The specs that come with akyolo: their rows build, and what is called like the paper's is built like the paper's."""

import json
from pathlib import Path

import pytest

from akyolo.experiments.run.runs import model_of
from akyolo.experiments.spec.rows import PAPER, read_spec
from akyolo.upstream.build import build_detector
from akyolo.upstream.logs import silence

ROOT = Path(__file__).resolve().parents[3]
MINI = read_spec(ROOT / "cfg" / "paper" / "mini.yaml")
PAPERS = read_spec(PAPER).rows
SCORES = json.loads((ROOT / "runs" / "records" / "score-shapes-yolov8n.json").read_text())["scores"]
TABLES = {"yolov8n": 11, "yolov5n": 11, "bccd": 2, "yolov7-tiny": 2}


def test_mini_is_in_order_and_its_first_table_has_no_data_to_fetch():
    assert MINI.seeds == (0, 1, 2)
    assert {table: sum(row.table == table for row in MINI.rows) for table in TABLES} == TABLES
    assert [row.table for row in MINI.rows] == [table for table, count in TABLES.items() for _ in range(count)]
    assert {row.data for row in MINI.rows if row.table != "bccd"} == {None}
    assert not any(row.printed for row in MINI.rows)


@pytest.mark.parametrize("row", MINI.rows, ids=lambda row: f"{row.table} {row.row}")
def test_rows_of_mini_build(row):
    with silence():
        assert build_detector(model_of(row))


@pytest.mark.parametrize("row", MINI.rows, ids=lambda row: f"{row.table} {row.row}")
def test_a_row_with_a_name_of_the_papers_is_built_like_it(row):
    """The same operator, arguments and borders, where the paper has it; but DSConv, which lies where the others do."""
    theirs = [one for one in PAPERS if one.row == row.row]
    assert theirs
    if row.row == "DSConv=5":
        assert {(one.swap.op, one.swap.args) for one in theirs} == {(row.swap.op, row.swap.args)}
        assert row.swap.where == "downsample"
        return
    same_base = [one for one in theirs if one.base == row.base]
    assert row.swap in [one.swap for one in same_base or theirs]


def test_what_the_paper_prints_is_what_its_tables_protocol_measures():
    names = {one["protocol"]: one["metrics"].keys() for one in SCORES}
    for row in PAPERS:
        assert row.printed.keys() - {"params_m", "gflops"} <= names[row.protocol]


def test_the_papers_data_can_be_prepared_and_say_how_many_images_they_have():
    for row in PAPERS:
        assert (ROOT / "data" / f"{row.prepare}.yaml").is_file() and row.images.keys() == {"train", "val"}
