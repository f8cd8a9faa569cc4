"""A specification is read strictly, so that a typing error does not train another table."""

import copy

import pytest
import yaml

from akyolo.errors import ConfigError
from akyolo.experiments.spec.spec_file import read_table, read_tables
from akyolo.experiments.spec.table_spec import DataSet, TableRun
from akyolo.swapping import SwapRule

SPEC = {
    "paper": "A",
    "seeds": [3],
    "data": {"voc": {"classes": 20, "images": {"train": 7}, "prepare": "voc"}},
    "tables": [
        {
            "table": 2,
            "data": "voc.yaml",
            "recipe": None,
            "settings": {"epochs": 3},
            "protocol": "coco",
            "evaluation": {"iou": 0.6},
            "assumed": ["evaluation", "epochs", "iou"],
            "stated": {"data": "voc", "settings": {"epochs": 300}},
            "rows": [
                {"row": "b", "base": "b.yaml"},
                {
                    "row": "s",
                    "base": "b.yaml",
                    "swap": {"op": "X", "args": [5], "where": "downsample"},
                    "printed": {"AP": 1.5},
                    "note": "odd",
                },
            ],
        }
    ],
}


def written(folder, content):
    file = folder / "spec.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def test_all_of_a_file_is_in_its_table(tmp_path):
    table = read_table(written(tmp_path, SPEC))
    first, second = table.rows
    assert (table.paper, table.seeds) == ("A", (3,))
    assert table.data_set == DataSet("voc", 20, {"train": 7}, "voc")  # of the data set that is stated
    assert (table.data, table.assumed) == ("voc.yaml", ("evaluation", "epochs", "iou"))
    assert first.swap is None
    assert second.swap == SwapRule("X", (5,), "downsample", {}) and (second.printed, second.note) == (
        {"AP": 1.5},
        "odd",
    )
    requested = TableRun(table, second, 0).requested()
    assert requested["stated"] == {"data": "voc", "settings": {"epochs": 300}}
    assert requested["settings"] == {"epochs": 3}
    keys = ["base", "swap", "data", "recipe", "settings", "protocol", "evaluation", "stated"]
    assert list(requested) == keys and requested["swap"]["keywords"] == {}


def test_a_folder_of_runs_has_one_table(tmp_path):
    content = {**SPEC, "tables": [*SPEC["tables"], {**SPEC["tables"][0], "table": 3}]}
    with pytest.raises(ConfigError, match=r"spec\.yaml: has 2 tables; only one can be run in a folder"):
        read_table(written(tmp_path, content))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("table",), 1, "unknown key 'table'\n  did you mean 'tables'?"),
        (("data", "voc", "image"), {}, "data voc: unknown key 'image'\n  did you mean 'images'?"),
        (("data", "voc"), 20, "data voc: 20 is not a mapping"),
        (("tables", 0, "protocoll"), "coco", "table 2: unknown key 'protocoll'\n  did you mean 'protocol'?"),
        (("tables", 0, "settings"), 3, "table 2: settings cannot be 3"),
        (("tables", 0, "assumed"), ["imgsz"], "table 2: assumed: 'imgsz' is not there"),
        (("tables", 0, "rows", 1, "print"), {}, "table 2, row s: unknown key 'print'\n  did you mean 'printed'?"),
        (("tables", 0, "rows", 1), "s", "table 2, row s: 's' is not a mapping"),
        (("tables", 0, "rows", 1, "swap", "kw"), {}, "table 2, row s: swap: unknown key 'kw'"),
        (("tables",), [], "tables cannot be []"),
        (("tables", 0, "rows"), [], "table 2: rows cannot be []"),
        (("tables", 0, "rows", 0, "row"), "a|b", "table 2, row a|b: row cannot be 'a|b'"),
        (("tables", 0, "rows", 0, "row"), "a\nb", "table 2, row a\nb: row cannot be 'a\\nb'"),
        (("tables", 0, "rows", 0, "row"), " ", "table 2, row  : row cannot be ' '"),
        (("tables", 0, "rows", 1, "printed", "AP"), None, "table 2, row s: printed: AP cannot be None"),
        (("tables", 0, "rows", 1, "printed", "AP"), "1.5", "table 2, row s: printed: AP cannot be '1.5'"),
        (("tables", 0, "rows", 1, "printed", "AP"), True, "table 2, row s: printed: AP cannot be True"),
        (("tables", 0, "rows", 1, "printed", "AP"), float("nan"), "table 2, row s: printed: AP cannot be nan"),
        (("data", "voc", "images", "train"), "many", "data voc: images: train cannot be 'many'"),
        (("tables", 0, "settings", 2), 3, "table 2: settings: 2 is not a name"),
        (("tables", 0, "evaluation", 2), 3, "table 2: evaluation: 2 is not a name"),
        (("tables", 0, "assumed"), [{"epochs": 3}], "table 2: assumed: {'epochs': 3} is not a name"),
        (("tables", 0, "stated", "setings"), {}, "table 2: stated: unknown key 'setings'\n  did you mean 'settings'?"),
        (("tables", 0, "stated", "settings"), 3, "table 2: stated: settings cannot be 3"),
        (("seeds",), [], "seeds cannot be []"),
        (("seeds",), [0, 0], "seeds: 0 is given twice"),
        (("seeds",), [0, -1], "seeds: -1 must be a whole number of at least 0"),
        (("seeds",), ["a"], "seeds: 'a' must be a whole number of at least 0"),
        (("seeds",), [True], "seeds: True must be a whole number of at least 0"),
    ],
    ids=str,
)
def test_a_wrong_key_or_value_is_named_with_file_and_table(tmp_path, path, value, message):
    content = copy.deepcopy(SPEC)
    *outer, key = path
    inner = content
    for step in outer:
        inner = inner[step]
    inner[key] = value
    with pytest.raises(ConfigError) as refused:
        read_tables(written(tmp_path, content))
    assert str(refused.value).startswith(f"{tmp_path / 'spec.yaml'}: is not a valid spec: {message}")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (("tables",), "tables missing"),
        (("tables", 0, "protocol"), "table 2: protocol missing"),
        (("tables", 0, "rows", 0, "base"), "table 2, row b: base missing"),
        (("tables", 0, "rows", 1, "swap", "op"), "table 2, row s: swap: op missing"),
    ],
    ids=str,
)
def test_a_missing_key_is_named(tmp_path, path, message):
    content = copy.deepcopy(SPEC)
    *outer, key = path
    inner = content
    for step in outer:
        inner = inner[step]
    del inner[key]
    with pytest.raises(ConfigError, match=message):
        read_tables(written(tmp_path, content))


def test_a_table_twice_is_refused(tmp_path):
    content = {**SPEC, "tables": [*SPEC["tables"], {**SPEC["tables"][0], "table": "2"}]}
    with pytest.raises(ConfigError, match="table 2 is given twice"):
        read_tables(written(tmp_path, content))


@pytest.mark.parametrize("text", ["tables: [", "- 1", "3", ""])
def test_what_is_no_mapping_is_no_spec(tmp_path, text):
    (tmp_path / "spec.yaml").write_text(text)
    with pytest.raises(
        ConfigError, match=r"spec\.yaml: (cannot be read as a spec|is not a valid spec: .* is not a mapping)"
    ):
        read_tables(tmp_path / "spec.yaml")
