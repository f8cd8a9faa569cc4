"""Selected tables and rows, and tables with overridden arguments."""

import dataclasses

import pytest
import yaml

from akyolo.errors import ConfigError
from akyolo.experiments.spec.select import override, select_rows, select_tables, with_distinct_rows
from akyolo.experiments.spec.spec_file import read_table, read_tables, table_text
from akyolo.experiments.spec.table_spec import PAPER, DataSet

TABLES = read_tables(PAPER)
FIRST, SEVENTH = TABLES[0], TABLES[6]


def test_tables_come_in_the_order_of_the_spec():
    assert [table.table for table in select_tables(TABLES, ["5", "2"])] == [2, 5]
    assert len(select_tables(TABLES, [])) == 7
    with pytest.raises(ConfigError, match="there is no table '8'\n  known: 1, 2"):
        select_tables(TABLES, ["8"])


def test_rows_of_one_name_get_their_model_in_front_and_the_others_stay():
    rows = [row.row for row in with_distinct_rows(FIRST).rows]
    assert rows[0] == "yolov5n baseline" and rows[5] == "yolov5s baseline"
    assert [*rows[1:5], *rows[6:]] == ["N=3", "N=5", "N=9", "N=13", "N=4", "N=6", "N=7"]


@pytest.mark.parametrize(
    ("tables", "names", "selected"),
    [
        ([FIRST], ["baseline"], {"yolov5n baseline", "yolov5s baseline"}),
        ([FIRST], ["yolov5s baseline", "N=5"], {"yolov5s baseline", "N=5"}),
        ([FIRST], ["N=5, N=13"], {"N=5", "N=13"}),
        ([SEVENTH], ["N=5, initial shape b"], {"N=5, initial shape b"}),
    ],
    ids=["both models", "two rows", "with a comma", "of another table"],
)
def test_rows_by_name(tables, names, selected):
    assert select_rows(tables, names) == selected


def test_without_names_all_rows_are_selected_and_a_wrong_name_is_refused():
    assert len(select_rows([FIRST], [])) == 9
    with pytest.raises(ConfigError, match="there is no row 'basline'\n  did you mean 'baseline'"):
        select_rows([FIRST, SEVENTH], ["basline"])


def test_overridden_arguments_go_where_they_belong_and_what_was_stated_is_kept():
    table = override(FIRST, {"epochs": 2, "iou": 0.7, "data": "my.yaml", "recipe": "yolov8", "lr0": 0.1})
    assert table.settings == {"epochs": 2, "batch": 32, "imgsz": 640, "lr0": 0.1}
    assert table.evaluation == {"conf": 0.001, "iou": 0.7, "max_det": 300}
    assert (table.data, table.recipe) == ("my.yaml", "yolov8")
    assert table.stated == {
        "data": "coco2017",
        "recipe": "yolov5",
        "settings": FIRST.settings,
        "evaluation": FIRST.evaluation,
    }
    assert table.data_set == DataSet("coco2017", 80, {"train": 118287, "val": 5000}, "coco")
    assert table.unprepared is None and FIRST.unprepared == table.data_set


def test_arguments_that_a_table_has_already_change_nothing():
    assert override(SEVENTH, {"epochs": 300}) == SEVENTH


def test_a_table_is_written_with_its_own_data_set_and_read_as_it_was(tmp_path):
    table = dataclasses.replace(SEVENTH, seeds=(0, 1, 2))
    file = tmp_path / "spec.yaml"
    file.write_text(table_text(table))
    assert read_table(file) == table
    whole, written = yaml.safe_load(PAPER.read_text()), yaml.safe_load(table_text(table))
    (content,) = written.pop("tables")
    assert written == {
        "paper": whole["paper"],
        "seeds": [0, 1, 2],
        "data": {"visdrone2021-det": whole["data"]["visdrone2021-det"]},
    }
    assert content == whole["tables"][6]


def test_an_overridden_table_is_read_as_it_was_written(tmp_path):
    seeded = dataclasses.replace(FIRST, seeds=(0,))
    table = override(seeded, {"data": "my.yaml", "device": (0, 1), "epochs": 2})
    file = tmp_path / "spec.yaml"
    file.write_text(table_text(table))
    assert table.settings["device"] == [0, 1] and read_table(file) == table


def test_what_was_stated_first_stays_stated():
    """The spec.yaml of a folder of runs may be run again with other arguments."""
    shortened = override(SEVENTH, {"epochs": 2, "data": "mine.yaml"})
    table = override(shortened, {"epochs": 3, "iou": 0.5})
    assert table.settings["epochs"] == 3 and table.stated == {
        "data": "visdrone2021-det",
        "settings": SEVENTH.settings,
        "evaluation": SEVENTH.evaluation,
    }
