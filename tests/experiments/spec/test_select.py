"""Which tables and rows are meant, and what their own specs say."""

import pytest

from akyolo.errors import ConfigError
from akyolo.experiments.spec.rows import PAPER, spec_of_file
from akyolo.experiments.spec.select import of_its_own, rows_named, tables_named
from akyolo.experiments.spec.spec_file import read_spec_file

CONTENT = read_spec_file(PAPER)
FIRST, SEVENTH = CONTENT["tables"][0], CONTENT["tables"][6]


def test_tables_come_in_the_order_of_the_spec():
    assert [table["table"] for table in tables_named(CONTENT, ["5", "2"])] == [2, 5]
    assert len(tables_named(CONTENT, [])) == 7
    with pytest.raises(ConfigError, match="there is no table '8'\n  known: 1, 2"):
        tables_named(CONTENT, ["8"])


def test_rows_of_one_name_get_their_model_in_front_and_the_others_stay():
    rows = [row.row for row in spec_of_file(of_its_own(CONTENT, FIRST, [0], {})).rows]
    assert rows[0] == "yolov5n baseline" and rows[5] == "yolov5s baseline"
    assert [*rows[1:5], *rows[6:]] == ["N=3", "N=5", "N=9", "N=13", "N=4", "N=6", "N=7"]


@pytest.mark.parametrize(
    ("tables", "names", "meant"),
    [
        ([FIRST], ["baseline"], {"yolov5n baseline", "yolov5s baseline"}),
        ([FIRST], ["yolov5s baseline", "N=5"], {"yolov5s baseline", "N=5"}),
        ([FIRST], ["N=5, N=13"], {"N=5", "N=13"}),
        ([SEVENTH], ["N=5, initial shape b"], {"N=5, initial shape b"}),
    ],
    ids=["both models", "two rows", "with a comma", "of another table"],
)
def test_rows_by_name(tables, names, meant):
    assert rows_named(tables, names) == meant


def test_without_names_all_rows_are_meant_and_a_wrong_one_is_named():
    assert len(rows_named([FIRST], [])) == 9
    with pytest.raises(ConfigError, match="there is no row 'basline'\n  did you mean 'baseline'"):
        rows_named([FIRST, SEVENTH], ["basline"])


def test_what_is_changed_goes_where_it_belongs_and_what_was_stated_is_kept():
    changes = {"epochs": 2, "iou": 0.7, "data": "my.yaml", "recipe": "yolov8", "lr0": 0.1}
    (table,) = of_its_own(CONTENT, FIRST, [0, 1], changes)["tables"]
    assert table["settings"] == {"epochs": 2, "batch": 32, "imgsz": 640, "lr0": 0.1}
    assert table["evaluation"] == {"conf": 0.001, "iou": 0.7, "max_det": 300}
    assert (table["data"], table["recipe"]) == ("my.yaml", "yolov8")
    assert table["stated"] == {
        "data": "coco2017",
        "recipe": "yolov5",
        "settings": FIRST["settings"],
        "evaluation": FIRST["evaluation"],
    }
    row = spec_of_file(of_its_own(CONTENT, FIRST, [0, 1], changes)).rows[0]
    assert (row.classes, row.images, row.prepare) == (80, {"train": 118287, "val": 5000}, "coco")


def test_a_table_as_it_is_stays_as_it_is():
    own = of_its_own(CONTENT, SEVENTH, [0, 1, 2], {"epochs": 300})
    assert own == {
        "paper": CONTENT["paper"],
        "seeds": [0, 1, 2],
        "data": {"visdrone2021-det": CONTENT["data"]["visdrone2021-det"]},
        "tables": [SEVENTH],
    }


def test_what_was_stated_first_stays_stated():
    """A spec that a run has left may be run again with other changes."""
    shortened = of_its_own(CONTENT, SEVENTH, [0], {"epochs": 2, "data": "mine.yaml"})
    (table,) = of_its_own(shortened, shortened["tables"][0], [0], {"epochs": 3, "iou": 0.5})["tables"]
    assert table["settings"]["epochs"] == 3 and table["stated"] == {
        "data": "visdrone2021-det",
        "settings": SEVENTH["settings"],
        "evaluation": SEVENTH["evaluation"],
    }
