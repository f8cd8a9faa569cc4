"""Folders are published whole and locked by one function each."""

import ast
import os
import stat
from pathlib import Path

import pytest

from akyolo.files import lock, publish_folder

ROOT = Path(__file__).resolve().parents[1]
NAMES = {"FileLock", "SoftFileLock", "mkdtemp", "TemporaryDirectory", "rename", "renames"}
OF_MODULES = {("os", "replace"), ("shutil", "move")}
EXCEPTIONS = {
    # The image moves into a folder that is not yet published.
    ("datasets/yolo/layout.py", "rename"),
}


def lock_or_rename(node):
    """Return the name of what locks or renames, if the node does."""
    if isinstance(node, ast.alias):
        return node.name if node.name in NAMES else ""
    if isinstance(node, ast.Attribute):
        module = node.value.id if isinstance(node.value, ast.Name) else ""
        return node.attr if node.attr in NAMES or (module, node.attr) in OF_MODULES else ""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "replace":
        return "replace" if len(node.args) == 1 and not node.keywords else ""  # that of a text takes two arguments
    return ""


def test_locks_and_renames_lie_in_one_file():
    places = {
        (path.relative_to(ROOT / "akyolo").as_posix(), name)
        for path in (ROOT / "akyolo").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (name := lock_or_rename(node))
    }
    assert {place for place in places if place[0] != "files.py"} == EXCEPTIONS
    assert {name for file, name in places if file == "files.py"} == {"FileLock", "replace"}


def children(folder):
    return sorted(file.name for file in folder.iterdir())


def test_a_folder_is_there_at_the_end_with_the_usual_permissions(tmp_path):
    (tmp_path / "usual").mkdir()
    with publish_folder(tmp_path / "set") as folder:
        (folder / "a.txt").write_text("a")
        assert not (tmp_path / "set").exists()
    assert children(tmp_path) == ["set", "usual"] and children(tmp_path / "set") == ["a.txt"]
    assert stat.S_IMODE((tmp_path / "set").stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)


@pytest.mark.parametrize("entries", [(), ("a.txt",)])
def test_an_error_leaves_what_was_there(tmp_path, entries):
    target = tmp_path / "set"
    target.mkdir()
    (target / "a.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt), publish_folder(target, entries, locked=True) as folder:
        (folder / "a.txt").write_text("new")
        raise KeyboardInterrupt
    assert children(tmp_path) == ["set"] and children(target) == ["a.txt"]
    assert (target / "a.txt").read_text() == "old"


def test_a_filled_folder_is_replaced_under_its_lock_only(tmp_path):
    target = tmp_path / "set"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(OSError, match="not empty"), publish_folder(target) as folder:
        (folder / "new").touch()
    assert children(tmp_path) == ["set"] and children(target) == ["old"]
    with publish_folder(target, locked=True) as folder:
        (folder / "new").touch()
    assert children(tmp_path) == ["set"] and children(target) == ["new"]


def test_entries_are_moved_into_the_folder_and_nothing_else_is(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "old.png").touch()
    (tmp_path / "mine").touch()
    with publish_folder(tmp_path, ("images", "data.yaml"), locked=True) as folder:
        (folder / "images").mkdir()
        (folder / "images" / "new.png").touch()
        (folder / "data.yaml").touch()
        (folder / "scratch").mkdir()
    assert children(tmp_path) == ["data.yaml", "images", "mine"] and children(tmp_path / "images") == ["new.png"]


@pytest.mark.parametrize("entries", [(), ("new",)])
def test_what_a_kill_left_is_deleted_under_the_lock(tmp_path, entries):
    target = tmp_path / "set"
    target.mkdir()
    if os.fork() == 0:
        with publish_folder(target, entries, locked=True) as folder:
            (folder / "half").touch()
            os._exit(9)
    os.wait()
    assert [*tmp_path.rglob("half")]
    with publish_folder(target, entries, locked=True) as folder:
        (folder / "new").touch()
    assert [file.relative_to(tmp_path).as_posix() for file in sorted(tmp_path.rglob("*"))] == ["set", "set/new"]


def test_a_lock_that_is_held_is_waited_for_as_long_as_is_said(tmp_path):
    waited = []
    with (
        lock(tmp_path / ".lock"),
        pytest.raises(TimeoutError),
        lock(tmp_path / ".lock", 0.1, lambda: waited.append("once")),
    ):
        pass
    with lock(tmp_path / ".lock", 0.1, lambda: waited.append("again")):
        assert waited == ["once"]
