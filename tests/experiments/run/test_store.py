"""The folder of a table's runs: which tables may be run in it one after another."""

from contextlib import contextmanager

import pytest

from akyolo.cli.compare import comparison, read_operators
from akyolo.cli.key_values import names_and_pairs
from akyolo.errors import ConfigError
from akyolo.experiments.run.runs import run_folder
from akyolo.experiments.run.store import TableFolder
from akyolo.experiments.spec.row_models import read_model, read_models
from akyolo.experiments.spec.spec_file import read_table
from akyolo.model_yaml import model_yaml_text


def table(ops, seeds, **settings):
    operators = read_operators(ops, "downsample")
    return comparison("tiny", "yolov8n.yaml", operators, seeds, {"epochs": 3, **settings})


@contextmanager
def begun(folder, table):
    with TableFolder(folder, table, read_models(table.rows)).lock():
        yield read_table(folder / "spec.yaml")


def test_seeds_and_rows_may_be_added(tmp_path):
    with begun(tmp_path, table("Conv", 1)) as first:
        assert [(run.row.row, run.seed) for run in first.runs()] == [("Conv", 0)]
    more = table("Conv,DSConv:5", 2)
    with begun(tmp_path, more) as second:
        runs = [("Conv", 0), ("DSConv:5", 0), ("Conv", 1), ("DSConv:5", 1)]
        assert [(run.row.row, run.seed) for run in second.runs()] == runs
        assert second == more


def test_the_same_command_goes_on_with_several_devices(tmp_path):
    """The command line reads a tuple, the file holds a list."""
    several = table("Conv", 1, **names_and_pairs(["device=0,1"])[1])
    for _ in range(2):
        with begun(tmp_path, several) as stored:
            assert stored.settings["device"] == [0, 1]


def test_a_specification_in_another_layout_is_the_same(tmp_path):
    """Older versions left out empty mappings, and wrote the keys in another order."""
    with begun(tmp_path, table("AKConv:5", 1)):
        pass
    file = tmp_path / "spec.yaml"
    text = file.read_text()
    older = text.replace("      keywords: {}\n", "").replace("seeds:\n- 0\n", "") + "seeds: [0]\n"
    assert older != text
    file.write_text(older)
    with begun(tmp_path, table("AKConv:5", 1)):
        assert file.read_text() == text


def test_a_specification_that_another_process_wrote_meanwhile_is_refused(tmp_path):
    checked = TableFolder(tmp_path, table("Conv", 1), read_models(table("Conv", 1).rows))
    with begun(tmp_path, table("Conv", 1, lr0=0.1)):
        pass
    refused = pytest.raises(ConfigError, match=r"has other runs: lr0 is 0\.1 in spec.yaml, not given in the command")
    with refused, checked.lock():
        pass


def test_another_model_by_the_same_name_is_refused(tmp_path):
    base = tmp_path / "mine.yaml"
    base.write_text("nc: 2\nbackbone:\n  - [-1, 1, Conv, [16, 3, 2]]\nhead:\n  - [[0], 1, Detect, [nc]]\n")
    mine = comparison("mine", str(base), read_operators("Conv,AKConv:5", "0"), 1, {})
    with begun(tmp_path / "runs", mine) as stored:
        home = run_folder(tmp_path / "runs", "AKConv:5", 0)
        home.mkdir()
        (home / "mine.yaml").write_text(model_yaml_text(read_model(stored.rows[1])))
    with begun(tmp_path / "runs", mine):
        pass
    base.write_text(base.read_text().replace("16", "32"))
    changed = pytest.raises(ConfigError, match=r"AKConv-5-seed0/mine\.yaml: .*mine\.yaml has changed since")
    with changed, begun(tmp_path / "runs", mine):
        pass


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (table("Conv,AKConv:5", 1), r"seeds is \[0, 1\] in spec.yaml, \[0\] in the command"),
        (table("Conv", 2), "rows is Conv, AKConv:5 in spec.yaml, Conv in the command"),
        (table("Conv,DSConv:5,AKConv:5", 2), "row is AKConv:5 in spec.yaml, DSConv:5 in the command; op is AKConv in"),
        (table("Conv,AKConv:5", 2, classes=[0, 1]), r"classes is \[0\] in spec.yaml, \[0, 1\] in the command"),
        (table("Conv,AKConv:5", 3, classes=[0], epochs=4), "runs: epochs is 3 in spec.yaml, 4 in the command\n"),
    ],
)
def test_anything_else_is_refused_and_the_spec_stays(tmp_path, other, message):
    with begun(tmp_path, table("Conv,AKConv:5", 2, classes=[0])):
        before = (tmp_path / "spec.yaml").read_bytes()
    with pytest.raises(ConfigError, match=message), begun(tmp_path, other):
        pass
    assert (tmp_path / "spec.yaml").read_bytes() == before
