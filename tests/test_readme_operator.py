"""The documentation's operator of one file, as it says: in this repository, and in a package of the user's own."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from akyolo.model_yaml import row_text
from tests.helpers.tiny_training import MODEL, write_images, write_model

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
SECTION = (ROOT / "docs" / "add-operator.md").read_text(encoding="utf-8")
OPERATOR, TEST = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
PYPROJECT = re.search(r"```toml\n(.*?)```", SECTION, re.DOTALL)[1]
ROWS = yaml.safe_load(re.search(r"```yaml\n(.*?)```", SECTION, re.DOTALL)[1])
SWAP = re.search(r"`akyolo (swap [^`]*)`", SECTION)[1].split()
QUICK = ["imgsz=64", "batch=4", "nbs=4", "device=cpu", "workers=0", "optimizer=SGD", "mosaic=0", "plots=False"]
BROKEN = "akyolo: without the operators of the package 'strip-conv': its entry point 'strip_conv' cannot be imported "


def python(folder, *words, path=(), code=0):
    """Run in a process of its own, with `path` before akyolo."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT)))}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def command(folder, *words, **how):
    return python(folder, "-m", "akyolo.cli", *words, **how)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """This repository's package and its contract, and the two files where the page says."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "akyolo", folder / "akyolo", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("ops", "helpers"):
        (folder / "tests" / name).mkdir(parents=True)
    helpers = ("tests/helpers/__init__.py", "tests/helpers/contract.py")
    for file in ("pyproject.toml", "tests/__init__.py", "tests/conftest.py", *helpers):
        shutil.copy(ROOT / file, folder / file)
    shutil.copy(ROOT / "tests" / "cli" / "test_ops_command.py", folder / "tests")
    (folder / "akyolo" / "ops" / "strip_conv.py").write_text(OPERATOR)
    (folder / "tests" / "ops" / "test_strip_conv.py").write_text(TEST)
    return folder


def test_its_tests_pass_in_the_repository(checkout):
    """Its own, and those of every operator's docstrings."""
    words = ["-m", "pytest", "-p", "no:cacheprovider", "-k", "strip_conv or StripConv"]
    passed = python(checkout, *words, "tests/ops", "tests/test_ops_command.py", path=[checkout])
    assert int(re.search(r"(\d+) passed", passed.stdout)[1]) > 30, passed.stdout


def test_its_files_keep_the_house_rules(checkout):
    files = ["akyolo/ops/strip_conv.py", "tests/ops/test_strip_conv.py"]
    for tool in (["check"], ["format", "--check"]):
        python(checkout, "-m", "ruff", *tool, "--no-cache", *files)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The user's package, installed."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "strip_conv.py").write_text(OPERATOR)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    offline = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    python(folder, "-m", "pip", "install", *offline, "--target", "site", ".")
    return folder / "site"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with both rows, and images."""
    folder = tmp_path_factory.mktemp("user")
    write_images(folder, 8, 4)
    model = yaml.safe_load(MODEL)
    model["backbone"][1:] = ROWS
    write_model(folder, yaml.safe_dump(model))
    return folder


@pytest.fixture(scope="module")
def trained(folder, site):
    return command(folder, "train", "tiny.yaml", "data=data.yaml", "epochs=1", *QUICK, path=[site])


def test_every_command_knows_an_installed_operator(site, folder):
    facts = json.loads(command(folder, "ops", "StripConv", "--json", path=[site]).stdout)
    assert facts["example"]["parameters"] == 2 * 64 * 64 * 3 + 2 * 64
    for place, row in zip(("downsample", "bottleneck"), ROWS, strict=True):
        changed = command(folder, *SWAP[:-1], place, path=[site])
        assert f" {row_text(row)}\n" in changed.stderr


@pytest.mark.training
def test_it_trains_from_the_command_line(folder, trained):
    results = (folder / "runs" / "detect" / "train" / "results.csv").read_text()
    rows = list(csv.DictReader(results.splitlines()))
    assert len(rows) == 1
    assert "strip_conv.StripConv" in trained.stdout and "C2f(StripConv)" in trained.stdout
    assert not trained.stderr.count("Traceback")


@pytest.mark.training
def test_a_fresh_process_reads_the_checkpoint(folder, site, trained):
    """Our YOLO without running code of the file, upstream's by unpickling."""
    for library in ("akyolo", "ultralytics"):
        script = (
            f"from {library} import YOLO\n"
            "model = YOLO('runs/detect/train/weights/best.pt')\n"
            "print(len(model.predict('data/images/val', imgsz=64, save=False)), type(model.model.model[1]))"
        )
        assert "4 <class 'strip_conv.StripConv'>" in python(folder, "-c", script, path=[site]).stdout


@pytest.mark.training
def test_it_exports(folder, site, trained):
    exported = command(folder, "export", "runs/detect/train/weights/best.pt", "format=onnx", "imgsz=64", path=[site])
    assert "exported to runs/detect/train/weights/best.onnx" in exported.stdout


def test_a_script_can_import_it_instead(folder, tmp_path):
    (tmp_path / "strip_conv.py").write_text(OPERATOR)
    script = f"import strip_conv, akyolo; print(akyolo.YOLO({str(folder / 'tiny.yaml')!r}).model.model[1].conv)"
    assert "kernel_size=(7, 1)" in python(tmp_path, "-c", script).stdout


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_module\n", "(ModuleNotFoundError: No module named 'no_such_module')"),
        ("raise SystemExit(3)\n", "(SystemExit: 3)"),
        (OPERATOR.replace("class StripConv", "class AKConv"), "(ValueError: operator 'AKConv' is already registered"),
    ],
    ids=["import", "exit", "name taken"],
)
def test_a_package_that_fails_is_one_line_and_stops_nothing_else(folder, site, tmp_path, text, reason):
    shutil.copytree(site, tmp_path / "site")
    (tmp_path / "site" / "strip_conv.py").write_text(text)
    done = command(tmp_path, "ops", "AKConv", "--json", path=[tmp_path / "site"])
    assert json.loads(done.stdout)["name"] == "AKConv"
    assert done.stderr.startswith(BROKEN + reason) and done.stderr.count("\n") == 1


def test_an_entry_point_that_is_no_module_is_one_line_too(site, tmp_path):
    shutil.copytree(site, tmp_path / "site")
    (entry_points,) = (tmp_path / "site").glob("*.dist-info/entry_points.txt")
    entry_points.write_text("[akyolo.operators]\nstrip-conv = strip-conv\n")
    done = command(tmp_path, "ops", "AKConv", "--json", path=[tmp_path / "site"])
    assert json.loads(done.stdout)["name"] == "AKConv"
    assert "its entry point 'strip-conv' cannot be imported" in done.stderr and done.stderr.count("\n") == 1


def test_a_model_that_needs_a_package_that_fails_says_both(folder, site, tmp_path):
    shutil.copytree(site, tmp_path / "site")
    (tmp_path / "site" / "strip_conv.py").unlink()
    done = command(folder, "info", "tiny.yaml", path=[tmp_path / "site"], code=2)
    first, second, *_ = done.stderr.splitlines()
    assert first.startswith(BROKEN) and second.startswith("akyolo: tiny.yaml, row 1: unknown module 'StripConv'")
