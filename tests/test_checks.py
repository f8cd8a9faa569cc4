"""Checks of numbers, choices and flags stand in one place."""

import ast
import math
from pathlib import Path

import pytest

from akyolo.checks import COUNTING, FINITE, WHOLE, Numbers, check_choice, check_flag, check_number
from akyolo.errors import ConfigError, DatasetError, RowError

PACKAGE = Path(__file__).resolve().parents[1] / "akyolo"


def is_check_of_a_type(node: ast.AST) -> bool:
    """`isinstance(x, bool)`, `isinstance(x, bool | ...)`, `type(x) is int` and their like."""
    if isinstance(node, ast.Compare):
        left, names = (
            node.left,
            {part.id for right in node.comparators for part in ast.walk(right) if hasattr(part, "id")},
        )
        is_type = isinstance(left, ast.Call) and isinstance(left.func, ast.Name) and left.func.id == "type"
        return is_type and bool(names & {"bool", "int", "float"})
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance"):
        return False
    return any(isinstance(name, ast.Name) and name.id == "bool" for name in ast.walk(node.args[1]))


def test_no_other_file_checks_numbers_and_flags():
    elsewhere = [
        f"{path}:{node.lineno}: {ast.unparse(node)}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != PACKAGE / "checks.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if is_check_of_a_type(node)
    ]
    assert not elsewhere, "\n".join([f"{len(elsewhere)} checks", *elsewhere])


@pytest.mark.parametrize(
    ("numbers", "inside", "outside", "words"),
    [
        (FINITE, (-1, 0.5, 10**400), (math.nan, math.inf, -math.inf, True, "1", None, [1]), "a number"),
        (WHOLE, (-1, 0), (1.0, False, "1"), "a whole number"),
        (COUNTING, (1, 7), (0, 1.0, True), "a whole number of at least 1"),
        (Numbers(above=0), (1e-9,), (0, -1, math.inf), "a number above 0"),
        (Numbers(at_least=0, below=1), (0, 0.5), (1, -0.1), "a number of at least 0 and below 1"),
        (Numbers(above=0, below=0.5), (0.1,), (0, 0.5), "a number between 0 and 0.5, neither included"),
        (Numbers(at_least=0, multiple_of=1), (0, 3.0), (0.5, -1), "a whole number of at least 0"),
        (
            Numbers(whole=True, at_least=32, multiple_of=32),
            (32, 64),
            (0, 33),
            "a whole number of at least 32 and a multiple of 32",
        ),
    ],
)
def test_bounds_in_values_and_in_words(numbers, inside, outside, words):
    assert all(value in numbers for value in inside) and not any(value in numbers for value in outside)
    assert str(numbers) == words


def test_an_error_has_the_class_the_place_and_the_remedy_of_its_caller():
    with pytest.raises(DatasetError, match=r"^a\.yaml: bytes 0 must be a whole number of at least 1\n  leave it out$"):
        check_number("bytes 0", 0, COUNTING, error=DatasetError, location="a.yaml", remedy="leave it out")
    with pytest.raises(RowError, match=r"^imgsz=0 must be a side of an image$"):
        check_number("imgsz=0", 0, COUNTING, expected="a side of an image")
    with pytest.raises(ConfigError, match=r"^'autoanchor=1' must be true or false$"):
        check_flag(error=ConfigError, autoanchor=1)


def test_choices_in_any_case():
    check_choice(("SGD", "Adam"), any_case=True, optimizer="sgd")
    with pytest.raises(ConfigError, match="unknown optimizer 'sgf'\n  did you mean 'SGD'"):
        check_choice(("SGD", "Adam"), any_case=True, error=ConfigError, optimizer="sgf")
    with pytest.raises(RowError, match="unknown optimizer 'sgd'"):
        check_choice(("SGD", "Adam"), optimizer="sgd")
