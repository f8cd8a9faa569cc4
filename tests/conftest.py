"""What all tests share: options, the limit of fast tests, and an Ultralytics that stays offline and elsewhere."""

import gc
import os
import tempfile
from collections import Counter
from pathlib import Path

# before the first import of ultralytics, which reads these once
os.environ.setdefault("YOLO_OFFLINE", "1")
os.environ.setdefault("YOLO_AUTOINSTALL", "false")
os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.mkdtemp(prefix="akyolo-tests-"))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

# What a test that is neither `slow` nor `training` may take. The rule for the marker is half of it: machines differ.
FAST_CPU_SECONDS = 4.0


def pytest_addoption(parser):
    parser.addoption("--golden-dir", help="folder of golden files with its manifest.json (default: the committed part)")
    parser.addoption("--coco-golden-dir", help="folder of published COCO ground truth and results (default: skipped)")
    parser.addoption(
        "--enforce-cpu-limit",
        nargs="?",
        type=float,
        const=FAST_CPU_SECONDS,
        metavar="SECONDS",
        help=f"fail unmarked tests that take more CPU seconds than this (default: {FAST_CPU_SECONDS:g})",
    )


def pytest_collection_finish():
    """Leave what was imported and collected out of garbage collections: they are a sixth of the tests' CPU time."""
    gc.collect()
    gc.freeze()


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended."""
    return sum(os.times()[:4])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item):
    """Fail an unmarked test that takes long.

    The call alone counts: a fixture of a module or of the session is set up in whichever test comes first, and which
    one that is depends on how the tests are spread over processes.
    """
    before = cpu_seconds()
    result = yield
    spent, limit = cpu_seconds() - before, item.config.getoption("enforce_cpu_limit")
    marked = any(item.get_closest_marker(name) for name in ("slow", "training"))
    if limit is not None and spent > limit and not marked:
        pytest.fail(f"took {spent:.1f} CPU seconds, more than {limit:g}: mark it slow or training", pytrace=False)
    return result


def pytest_terminal_summary(terminalreporter):
    checked = Counter(
        family
        for report in terminalreporter.stats.get("passed", [])
        for name, family in report.user_properties
        if name == "golden"
    )
    for family, count in sorted(checked.items()):
        terminalreporter.write_line(f"golden {family}: {count} checked")


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
