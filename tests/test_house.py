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
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "akyolo").rglob("*.py"))}
FLOORS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["akyolo"]["floors"]
MOST_FILES = 10  # in a folder
WITHOUT_LIMIT = {"cli", "layers", "ops"}  # a file a command, a layer, an operator


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in TREES}


def room(path: Path) -> str:
    return path.relative_to(ROOT / "akyolo").parts[0].removesuffix(".py")


def imported(tree: ast.Module) -> set[str]:
    """Return the imported modules; of `from a import b` that is `a.b` where it is a module of ours, else `a`."""
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules |= {name if name in MODULES else str(node.module) for name in names}
    return modules


def imports() -> list[tuple[Path, str]]:
    """Every file with each of the modules that it imports."""
    return [(path, module) for path, tree in TREES.items() for module in sorted(imported(tree))]


def rooms_below(package: str) -> set[str]:
    """Return the files and folders of a package."""
    folder = ROOT / package.replace(".", "/")
    return {path.parent.name for path in folder.glob("*/__init__.py")} | {
        path.stem for path in folder.glob("*.py") if path.name != "__init__.py"
    }


def length(function: ast.FunctionDef) -> int:
    """Return the number of lines without those of the docstring."""
    docstring = ast.get_docstring(function)
    return function.end_lineno - function.lineno + 1 - (len(docstring.splitlines()) + 1 if docstring else 0)


def offenders(lines: list[str]) -> str:
    return "\n".join(["", *lines])


@pytest.mark.parametrize("package", FLOORS)
def test_every_room_has_one_floor(package):
    counted = Counter(name for floor in FLOORS[package] for name in floor)
    assert set(counted) == rooms_below(package) and set(counted.values()) == {1}


@pytest.mark.parametrize("package", FLOORS)
def test_imports_go_downwards_only(package):
    """What lies directly below the same room may import each other; circles are another test."""
    floor = {name: number for number, names in enumerate(FLOORS[package]) for name in names}
    below, place = f"{package}.", package.count(".") + 1
    upwards = []
    for path, module in imports():
        if module_of(path).startswith(below) and module.startswith(below):
            here, there = (name.split(".")[place] for name in (module_of(path), module))
            if here != there and floor[there] >= floor[here]:
                upwards.append(f"{path}: imports {module}")
    assert not upwards, offenders(upwards)


def test_no_file_imports_itself_by_a_detour():
    """`akyolo` itself is left out: it imports all, and what users import of it may be imported below too."""
    graph = {
        module_of(path): {other for other in imported(tree) if other in MODULES} - {module_of(path), "akyolo"}
        for path, tree in TREES.items()
        if module_of(path) != "akyolo"
    }
    graphlib.TopologicalSorter(graph).prepare()


def test_folders_stay_small():
    counted = Counter(path.parent for path in TREES if path.name != "__init__.py")
    large = [
        f"{folder}: {files} files, not at most {MOST_FILES}"
        for folder, files in counted.items()
        if files > MOST_FILES and folder.name not in WITHOUT_LIMIT
    ]
    assert not large, offenders(large)


def test_tests_lie_in_the_rooms_of_what_they_test():
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    assert not folders - {path.parent.relative_to(ROOT / "akyolo") for path in TREES} - {Path("golden"), Path("docs")}


def test_scoring_needs_nothing_of_ours_but_errors():
    needed = {module for path, module in imports() if room(path) == "scoring" and module.startswith("akyolo")}
    assert not [module for module in needed if not module.startswith(("akyolo.errors", "akyolo.scoring"))]


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("ultralytics", lambda path: room(path) in {"upstream", "upstream_blocks"}),
        ("matplotlib", lambda path: path.name == "figures.py"),
    ],
)
def test_a_foreign_package_is_imported_in_its_place_only(package, allowed):
    elsewhere = [
        f"{path}: imports {module}"
        for path, module in imports()
        if module.partition(".")[0] == package and not allowed(path)
    ]
    assert not elsewhere, offenders(elsewhere)


def test_nothing_evaluates_text():
    calls = [
        f"{path}:{node.lineno}: calls {node.func.id}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"eval", "exec"}
    ]
    assert not calls, offenders(calls)


def test_files_stay_small():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in TREES}
    long = [f"{path}: {lines} lines, not at most 350" for path, lines in lengths.items() if lines > 350]
    assert not long, offenders(long)


def test_functions_stay_small():
    long = [
        f"{path}:{node.lineno}: {node.name} has {length(node)} lines, not at most 45"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and length(node) > 45
    ]
    assert not long, offenders(long)


TOOLS = ["ruff check .", "ruff format --check .", "mypy", "codespell_lib"]


@pytest.mark.slow  # scripts/check runs the same four by themselves
@pytest.mark.parametrize("tool", TOOLS)
def test_format_lint_types_and_spelling(tool):
    run = subprocess.run([sys.executable, "-m", *tool.split()], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
