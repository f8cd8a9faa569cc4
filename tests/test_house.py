"""The architecture as tests: floors, circles, foreign imports, sizes, linter and type checker."""

import ast
import graphlib
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "akyolo").rglob("*.py"))
FLOORS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["akyolo"]["floors"]
MOST_FILES = 10  # in a folder
WITHOUT_LIMIT = {"cli", "layers", "ops"}  # a file a command, a layer, an operator


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imported(path: Path) -> set[str]:
    """Names as they are imported; of `from a import b` the module `a.b` where there is one, else `a`."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules |= {name if name in MODULES else str(node.module) for name in names}
    return modules


def rooms(package: str) -> set[str]:
    folder = ROOT / package.replace(".", "/")
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    return packages | {path.stem for path in folder.glob("*.py")} - {"__init__"}


@pytest.mark.parametrize("package", FLOORS)
def test_every_room_has_one_floor(package):
    counted = Counter(room for floor in FLOORS[package] for room in floor)
    assert set(counted) == rooms(package) and set(counted.values()) == {1}


@pytest.mark.parametrize("package", FLOORS)
def test_imports_go_downwards_only(package):
    floor = {room: number for number, names in enumerate(FLOORS[package]) for room in names}
    depth = package.count(".") + 1
    upwards = [
        f"{module} imports {other}"
        for module, path in MODULES.items()
        if module.startswith(f"{package}.")
        for other in imported(path)
        if other.startswith(f"{package}.")
        for here, there in [(module.split(".")[depth], other.split(".")[depth])]
        if here != there and floor[there] >= floor[here]
    ]
    assert not upwards


def test_no_file_imports_itself_by_a_detour():
    """A package's `__init__` may import its files, whose imports of their neighbours do not count as one of it."""
    graph = {
        module: {other for other in imported(path) if other in MODULES} - {module} for module, path in MODULES.items()
    }
    del graph["akyolo"]  # what users import: all of the above
    list(graphlib.TopologicalSorter({m: others - {"akyolo"} for m, others in graph.items()}).static_order())


def test_folders_stay_small():
    counted = Counter(path.parent for path in FILES if path.name != "__init__.py")
    assert not {folder: n for folder, n in counted.items() if n > MOST_FILES and folder.name not in WITHOUT_LIMIT}


def test_tests_lie_in_the_rooms_of_what_they_test():
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    rooms_of_tests = {path.parent.relative_to(ROOT / "akyolo") for path in FILES} | {Path("golden")}
    assert not folders - rooms_of_tests


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_upstream_imports_ultralytics_and_nothing_evaluates_text(path):
    room = path.relative_to(ROOT / "akyolo").parts[0].removesuffix(".py")
    if room not in {"upstream", "upstream_blocks"}:
        assert not [m for m in imported(path) if m.split(".")[0] == "ultralytics"]
    if path.name != "figures.py":
        assert not [m for m in imported(path) if m.split(".")[0] == "matplotlib"]
    if room == "scoring":
        assert {m.split(".")[1] for m in imported(path) if m.startswith("akyolo.")} <= {"errors", "scoring"}
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
