"""The architecture as tests: floors, foreign imports, sizes, linter and type checker."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "akyolo").rglob("*.py"))}
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


def imported(tree: ast.Module) -> set[str]:
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


def imports() -> list[tuple[Path, str]]:
    """Every file with each of the modules that it imports."""
    return [(path, module) for path, tree in TREES.items() for module in sorted(imported(tree))]


def goes_downwards(here: str, module: str) -> bool:
    package, _, name = module.partition(".")
    there = name.partition(".")[0]
    if package != "akyolo" or here in ("__init__", there):
        return True
    if there == "__version__" or (here == "cli" and there == "YOLO"):
        return True  # what users import too
    return there in SMALL or FLOOR[there] < FLOOR[here]


def length(function: ast.FunctionDef) -> int:
    """Return the number of lines without those of the docstring."""
    docstring = ast.get_docstring(function)
    return function.end_lineno - function.lineno + 1 - (len(docstring.splitlines()) + 1 if docstring else 0)


def offenders(lines: list[str]) -> str:
    return "\n".join(["", *lines])


def test_imports_go_downwards_only():
    upwards = [f"{path}: imports {module}" for path, module in imports() if not goes_downwards(room(path), module)]
    assert not upwards, offenders(upwards)


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("ultralytics", lambda path: room(path) in {"upstream", "upstream_blocks"}),
        ("matplotlib", lambda path: room(path) == "inspect" or path.name == "figures.py"),
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


@pytest.mark.slow  # scripts/check runs the same three by themselves
@pytest.mark.parametrize("tool", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=" ".join)
def test_linter_and_type_checker(tool):
    run = subprocess.run([sys.executable, "-m", *tool], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
