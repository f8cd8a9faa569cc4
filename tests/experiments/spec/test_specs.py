"""The specifications in cfg/paper: their rows build, and rows with a name of the paper's are built like the paper's."""

import json
from pathlib import Path

import pytest

from akyolo.experiments.spec.row_models import read_model
from akyolo.experiments.spec.spec_file import read_tables
from akyolo.experiments.spec.table_spec import PAPER
from akyolo.upstream.build import build_detector
from akyolo.upstream.logs import silence

ROOT = Path(__file__).resolve().parents[3]
MINI = read_tables(ROOT / "cfg" / "paper" / "mini.yaml")
ROWS = [(table, row) for table in MINI for row in table.rows]
IDS = [f"{table.table} {row.row}" for table, row in ROWS]
PAPERS = [(table, row) for table in read_tables(PAPER) for row in table.rows]
SCORES = json.loads((ROOT / "runs" / "records" / "score-shapes-yolov8n.json").read_text())["scores"]
TABLES = {"yolov8n": 11, "yolov5n": 11, "bccd": 2, "yolov7-tiny": 2}


def test_mini_is_in_order_and_only_one_table_needs_other_data():
    assert {table.seeds for table in MINI} == {(0, 1, 2)}
    assert [(table.table, len(table.rows)) for table in MINI] == list(TABLES.items())
    assert {table.data for table in MINI if table.table != "bccd"} == {None}
    assert not any(row.printed for _, row in ROWS)


@pytest.mark.parametrize(("table", "row"), ROWS, ids=IDS)
def test_rows_of_mini_build(table, row):
    with silence():
        assert build_detector(read_model(row))


@pytest.mark.parametrize(("table", "row"), ROWS, ids=IDS)
def test_a_row_with_a_name_of_the_papers_is_built_like_it(table, row):
    """Operator, arguments and borders are the paper's; but DSConv stands in the places of the other operators."""
    same_name = [other for _, other in PAPERS if other.row == row.row]
    assert same_name
    if row.row == "DSConv=5":
        assert {(other.swap.op, other.swap.args) for other in same_name} == {(row.swap.op, row.swap.args)}
        assert row.swap.where == "downsample"
        return
    same_base = [other for other in same_name if other.base == row.base]
    assert row.swap in [other.swap for other in same_base or same_name]


def test_what_the_paper_prints_is_what_its_tables_protocol_measures():
    names = {score["protocol"]: score["metrics"].keys() for score in SCORES}
    for table, row in PAPERS:
        assert row.printed.keys() - {"params_m", "gflops"} <= names[table.protocol]


def test_the_papers_data_can_be_prepared_and_say_how_many_images_they_have():
    for data_set in {table.table: table.data_set for table, _ in PAPERS}.values():
        assert (ROOT / "data" / f"{data_set.prepare}.yaml").is_file() and data_set.images.keys() == {"train", "val"}
