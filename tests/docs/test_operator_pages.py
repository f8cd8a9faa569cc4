"""The generated pages: their Python runs, and their taps are where the operators look."""

import re

import pytest

import akyolo
from akyolo.registry import operators
from tests.docs.conftest import ROOT

pytest.importorskip("mkdocs", reason="the documentation needs mkdocs: pip install -e '.[docs]'")
CLASSES = {spec.module.__name__: spec.module for spec in operators()}


@pytest.fixture
def hooks(monkeypatch):
    """Return the modules that make the pages and the taps, as mkdocs imports them."""
    monkeypatch.syspath_prepend(ROOT / "docs" / "hooks")
    import operator_pages
    import taps

    return operator_pages, taps


def test_the_python_of_every_page_runs(hooks, capsys):
    pages = hooks[0].described()
    assert len(pages) == len(CLASSES)
    for spec, facts in pages.values():
        (text,) = re.findall(r"```python\n(.*?)```", hooks[0].page(spec, facts), re.DOTALL)
        exec(compile(text, spec.name, "exec"), {})
    assert capsys.readouterr().out.splitlines() == ["torch.Size([2, 64, 40, 48])"] * len(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_every_operator_has_a_figure(hooks, name):
    assert all(panel.taps for panel in hooks[1].panels(CLASSES[name])) and hooks[1].panels(CLASSES[name])


def test_taps_are_measured_where_the_shapes_put_them(hooks):
    taps = {panel.caption: panel.taps for panel in hooks[1].panels(akyolo.AKConv)}
    assert taps["N = 9"] == akyolo.initial_shape(9) and taps["shape: d"] == akyolo.initial_shape(5, "d")
    (panel,) = hooks[1].panels(akyolo.DeformConv)
    assert panel.taps == tuple((float(y), float(x)) for y in (-1, 0, 1) for x in (-1, 0, 1))
    steps = [(y - y0, x - x0) for (y, x), (y0, x0) in zip(panel.moved, panel.taps, strict=True)]
    assert [dy**2 + dx**2 for dy, dx in steps] == pytest.approx([0.55**2] * 9)


def test_a_snake_stays_at_its_centre_and_adds_up(hooks):
    along_x, along_y = hooks[1].panels(akyolo.DSConv)
    assert along_x.moved[2] == (0, 0) and [x for _, x in along_x.moved] == [-2, -1, 0, 1, 2]
    assert [y for y, _ in along_x.moved] == pytest.approx([-0.4, -0.9, 0, 0.7, 1.3])
    assert [(x, y) for y, x in along_y.moved] == list(along_x.moved)


def test_a_kernel_starts_in_the_middle_of_its_scope(hooks):
    panel = hooks[1].panels(akyolo.DeformKernel)[0]
    assert panel.taps == tuple((u + 0.5, v + 0.5) for u in range(3) for v in range(3))
