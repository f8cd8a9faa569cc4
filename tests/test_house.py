"""The architecture as tests: floors, foreign imports, sizes, linter and type checker."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "akyolo").rglob("*.py"))
FLOORS = [
    {"atomic", "errors", "arguments", "registry", "packaged", "upstream_blocks", "sampling"},
    {"ops", "blocks", "heads", "datasets"},
    {"rows"},
    {"metrics"},  # below upstream, whose validator stores what they score
    {"upstream"},
    {"paper", "inspect"},
    {"cli"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# files of floor 0 that the rooms share
SMALL = {"atomic", "errors", "arguments", "registry", "packaged", "upstream_blocks"}


def room(path: Path) -> str:
    return path.relative_to(ROOT / "akyolo").parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downwards_only(path):
    here = room(path)
    if here == "__init__":
        return
    for module in imported(path):
        parts = module.split(".")
        if parts[0] != "akyolo" or parts[1] == here:
            continue
        there = parts[1]
        if there == "__version__" or (here == "cli" and there == "YOLO"):
            continue  # what users import too
        assert there in SMALL or FLOOR[there] < FLOOR[here], f"{here} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_upstream_imports_ultralytics_and_nothing_evaluates_text(path):
    if room(path) not in {"upstream", "upstream_blocks"}:
        assert not [m for m in imported(path) if m.split(".")[0] == "ultralytics"]
    if room(path) != "inspect" and path.name != "figures.py":
        assert not [m for m in imported(path) if m.split(".")[0] == "matplotlib"]
    calls = [
        n.func.id
        for n in ast.walk(ast.parse(path.read_text()))
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    ]
    assert not {"eval", "exec"} & set(calls)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_small(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 350
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            docstring = ast.get_docstring(node)
            length = node.end_lineno - node.lineno + 1 - (len(docstring.splitlines()) + 1 if docstring else 0)
            assert length <= 45, f"{node.name} has {length} lines"


@pytest.mark.parametrize("tool", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=" ".join)
def test_linter_and_type_checker(tool):
    run = subprocess.run([sys.executable, "-m", *tool], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
