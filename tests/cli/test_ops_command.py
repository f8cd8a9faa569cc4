"""`akyolo ops`: what it prints, and that every operator's docstrings have all that it needs."""

import ast
import json
import re

import pytest
import yaml
from torch import nn

from akyolo import registry
from akyolo.cli import docstrings, main
from akyolo.cli.ops import describe, meanings
from akyolo.registry import operator, operators, register, registered_names
from akyolo.upstream.build import build_detector

OURS = [name for name in registered_names() if operator(name).source.__name__.startswith("akyolo.")]
OPERATORS = [spec.name for spec in operators() if spec.name in OURS]


@pytest.mark.parametrize("name", OURS)
def test_every_argument_is_documented_and_no_other(name):
    spec = operator(name)
    own = docstrings.arguments(docstrings.class_doc(spec.module))
    assert own.keys() <= spec.signature.parameters.keys() <= meanings(spec.module).keys()
    assert all(meanings(spec.module).values())


@pytest.mark.parametrize("name", OPERATORS)
def test_paper_parameters_and_deviations_are_there(name):
    facts = describe(operator(name))
    assert {"summary", "equation", "parameters", "example", "paper", "deviations"} <= facts.keys()
    formula, colon, words = facts["parameters"].partition(":")
    names = {node.id for node in ast.walk(ast.parse(formula, mode="eval")) if isinstance(node, ast.Name)}
    assert names <= {*operator(name).signature.parameters, "gcd"} and colon and words


@pytest.mark.parametrize(
    "name", ["AKConv", *(pytest.param(n, marks=pytest.mark.slow) for n in OPERATORS if n != "AKConv")]
)
def test_the_rows_build_and_the_count_is_theirs(name):
    facts = describe(operator(name))
    for row in facts["rows"]:
        rows = [[-1, 1, "Conv", [64, 3, 2]], yaml.safe_load(row)]
        model = build_detector({"nc": 2, "backbone": rows, "head": [[[-1], 1, "Detect", ["nc"]]]})
        assert any(isinstance(module, operator(name).module) for module in model.model[1].modules())
        if row.startswith(f"[-1, 1, {name},"):
            assert sum(p.numel() for p in model.model[1].parameters()) == facts["example"]["parameters"]
    assert len(facts["rows"]) == 2


@pytest.mark.parametrize("name", OURS)
def test_the_page_says_it_all(name, capfd):
    main(["ops", name])
    page = capfd.readouterr().out
    main(["ops", name, "--json"])
    facts = json.loads(capfd.readouterr().out)
    assert facts == describe(operator(name))
    written = " ".join(page.split())
    for key in ("summary", "grammar", "parameters", "paper", "deviations"):
        assert " ".join(facts.get(key, "").split()) in written
    assert all(
        f" {argument} {' '.join(meaning.split())}" in written for argument, meaning in facts["arguments"].items()
    )
    assert all(f"- {row}" in written for row in facts["rows"])
    assert len(page.splitlines()) <= 34
    assert all(len(line) <= 100 for line in page.splitlines() if line not in facts["equation"].splitlines())


def test_a_page_of_ours(capfd):
    main(["ops", "AKConv"])
    page = capfd.readouterr().out
    assert len(page.splitlines()) <= 24 and all(len(line) <= 100 for line in page.splitlines())
    assert page.startswith("AKConv, also LDConv\nA kernel of N taps with learned offsets.")
    assert (
        "row           [c2, num_param, stride=1, {shape: null, offset: true, padding_mode: zeros, act: true}]" in page
    )
    assert "example       - [-1, 1, AKConv, [64, 3]]\n" in page
    assert " 15,878 for c1=64, c2=64, num_param=3\n" in page  # 64*64*3 + 2*64 + (9*64 + 1)*2*3
    assert "\nc1 " not in page  # upstream knows it


def test_the_list_has_an_entry_for_each_and_a_word_for_second_names(capfd):
    main(["ops"])
    lines = capfd.readouterr().out.splitlines()
    entries = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert sorted(entries) == registered_names()
    assert entries.index("LDConv") < entries.index("AnchorDetect")  # operators, then heads
    assert "LDConv  second name of AKConv" in lines
    start = lines.index(
        "AKConv  [c2, num_param, stride=1, {shape: null, offset: true, padding_mode: zeros, act: true}]"
    )
    assert lines[start + 1].startswith("    A kernel of N taps")
    assert all(len(line) <= 100 for line in lines)
    main(["ops", "--json"])
    assert sorted(facts["name"] for facts in json.loads(capfd.readouterr().out)) == registered_names()


def test_a_head_has_its_row(capfd):
    main(["ops", "AnchorDetect"])
    assert "- [[17, 20, 23], 1, AnchorDetect, [nc, anchors]]" in capfd.readouterr().out


class Bare(nn.Module):
    def __init__(self, c1, c2, name, stride=2):
        super().__init__()
        self.conv = nn.Conv2d(c1, c2, {"cross": 3}[name], stride)


class Terse(nn.Conv2d):
    """Does something. And more.

    Args:
        c1 (int): in.
        c2 (int): out: as many
            as it is told.
        k:
            taps.
    """

    def __init__(self, c1, c2, k=1, groups=1):
        super().__init__(c1, c2, k, groups=groups)


class Longer(Terse):
    """Does more.

    Args:
        k: more taps.
    """


@pytest.fixture
def own(monkeypatch):
    """Operators of a user's own, forgotten after the test."""
    monkeypatch.setattr(registry, "_operators", dict(registry._operators))
    register()(Bare)
    register("Short")(Terse)
    register()(Longer)


def test_without_docstrings_it_shows_what_it_knows(own, capfd):
    facts = describe(operator("Bare"))
    assert facts == {"name": "Bare", "equation": facts["equation"], "grammar": "[c2, name, stride=2]"}
    main(["ops", "Bare"])
    assert re.search(r"^Bare\n`akyolo ops`.*\n\nrow  \[c2, name, stride=2\]$", capfd.readouterr().out, re.DOTALL)
    facts = describe(operator("Short"))
    assert facts["arguments"] == {"c2": "out: as many as it is told.", "k": "taps."}
    assert facts["rows"] == ["[-1, 1, Short, [64]]", "[-1, 1, C2f(Short), [64, true]]"]
    assert facts["example"] == {"arguments": {"c1": 64, "c2": 64}, "parameters": 64 * 64 + 64}
    assert "second_name_of" not in facts and "parameters" not in facts
    assert describe(operator("Longer"))["arguments"] == {"c2": "out: as many as it is told.", "k": "more taps."}
    main(["ops"])
    out = capfd.readouterr().out
    assert "Bare  [c2, name, stride=2]\n" in out
    assert "Short  [c2, {k: 1, groups: 1}]\n    Does something.\n" in out
