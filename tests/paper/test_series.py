"""A series in its folder: which specs may follow one another there."""

import pytest

from akyolo.cli.compare import operators, spec_of
from akyolo.errors import ConfigError
from akyolo.paper.rows import read_spec
from akyolo.paper.series import runs_in_order, series


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
