"""Fast tests stay fast: what `scripts/test` asks for, on tests of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TESTS = """
import os
import time

import pytest


def work():
    start = time.process_time()
    while time.process_time() - start < 0.3:
        pass


@pytest.fixture(scope="module")
def made_once():
    work()


def test_long():
    work()


def test_long_in_a_child():
    if child := os.fork():
        os.waitpid(child, 0)
    else:
        work()
        os._exit(0)


def test_waits():
    time.sleep(0.3)


def test_is_first(made_once):
    pass


@pytest.mark.slow
def test_slow():
    work()


@pytest.mark.training
def test_training():
    work()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "failed"), [("--enforce-cpu-limit=0.2", 2), ("--enforce-cpu-limit", 0), ("--tb=short", 0)]
)
def test_an_unmarked_test_that_takes_long_fails(tmp_path, option, failed):
    (tmp_path / "tests").mkdir()
    for file in ("pyproject.toml", "tests/conftest.py"):
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / "tests" / "test_some.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", option]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.stdout.splitlines()[-1].startswith(f"{failed} failed, {6 - failed} passed" if failed else "6 passed")
    for name in ("test_long", "test_long_in_a_child"):
        assert (f"test_some.py::{name} - Failed: took 0." in run.stdout) == bool(failed)
    assert ("mark it slow or training" in run.stdout) == bool(failed)
