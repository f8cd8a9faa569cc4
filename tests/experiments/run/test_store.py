"""A series in its folder: which specs may follow one another there."""

import pytest

from akyolo.cli.compare import operators, spec_of
from akyolo.cli.key_values import names_and_pairs
from akyolo.errors import ConfigError
from akyolo.experiments.run.runs import model_of, run_folder
from akyolo.experiments.run.store import series
from akyolo.experiments.spec.rows import read_spec, runs_in_order
from akyolo.model_yaml import model_yaml_text


def spec(ops, seeds, **settings):
    return spec_of("tiny", "yolov8n.yaml", operators(ops, "downsample"), seeds, {"epochs": 3, **settings})


def test_seeds_and_rows_may_be_added(tmp_path):
    with series(tmp_path, spec("Conv", 1)) as first:
        assert [(row.row, seed) for row, seed in runs_in_order(first)] == [("Conv", 0)]
    more = spec("Conv,DSConv:5", 2)
    with series(tmp_path, more) as second:
        runs = [("Conv", 0), ("DSConv:5", 0), ("Conv", 1), ("DSConv:5", 1)]
        assert [(row.row, seed) for row, seed in runs_in_order(second)] == runs
        assert read_spec(tmp_path / "spec.yaml") == second


def test_the_same_command_goes_on_with_several_devices(tmp_path):
    """The command line reads a tuple, the file holds a list."""
    several = spec("Conv", 1, **names_and_pairs(["device=0,1"])[1])
    for _ in range(2):
        with series(tmp_path, several) as found:
            assert found.rows[0].settings["device"] == [0, 1]


def test_another_model_by_the_same_name_is_refused(tmp_path):
    base = tmp_path / "mine.yaml"
    base.write_text("nc: 2\nbackbone:\n  - [-1, 1, Conv, [16, 3, 2]]\nhead:\n  - [[0], 1, Detect, [nc]]\n")
    mine = spec_of("mine", str(base), operators("Conv,AKConv:5", "0"), 1, {})
    with series(tmp_path / "runs", mine) as begun:
        home = run_folder(tmp_path / "runs", "AKConv:5", 0)
        home.mkdir()
        (home / "mine.yaml").write_text(model_yaml_text(model_of(begun.rows[1])))
    with series(tmp_path / "runs", mine):
        pass
    base.write_text(base.read_text().replace("16", "32"))
    changed = pytest.raises(ConfigError, match=r"AKConv-5-seed0/mine\.yaml: .*mine\.yaml has changed since")
    with changed, series(tmp_path / "runs", mine):
        pass


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (spec("Conv,AKConv:5", 1), r"seeds is \[0, 1\] there, \[0\] here"),
        (spec("Conv", 2), "rows is Conv, AKConv:5 there, Conv here"),
        (spec("Conv,DSConv:5,AKConv:5", 2), "row is AKConv:5 there, DSConv:5 here; op is AKConv there"),
        (spec("Conv,AKConv:5", 2, classes=[0, 1]), r"classes is \[0\] there, \[0, 1\] here"),
        (spec("Conv,AKConv:5", 3, classes=[0], epochs=4), "runs: epochs is 3 there, 4 here\n"),
    ],
)
def test_anything_else_is_refused_and_the_spec_stays(tmp_path, other, message):
    with series(tmp_path, spec("Conv,AKConv:5", 2, classes=[0])):
        before = (tmp_path / "spec.yaml").read_bytes()
    with pytest.raises(ConfigError, match=message), series(tmp_path, other):
        pass
    assert (tmp_path / "spec.yaml").read_bytes() == before
