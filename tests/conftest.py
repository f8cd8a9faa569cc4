"""What all tests share: the golden option and its summary, and an Ultralytics that stays offline and elsewhere."""

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


def pytest_addoption(parser):
    parser.addoption("--golden-dir", help="folder of golden files with its manifest.json (default: the committed part)")
    parser.addoption("--coco-golden-dir", help="folder of published COCO ground truth and results (default: skipped)")


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
