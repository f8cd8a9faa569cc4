"""What a user installs, and the two scripts that install it."""

import email
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXTRA = re.compile(r"akyolo\[(\w+)\]")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder),
        str(ROOT),
    ]
    subprocess.run([sys.executable, *build], check=True)
    return next(folder.glob("*.whl"))


def name_and_version(wheel):
    return wheel.name.split("-py3")[0]


@pytest.mark.slow
def test_the_wheel_carries_every_yaml(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = [*(ROOT / "cfg").rglob("*.yaml"), *(ROOT / "data").glob("*.yaml")]
    assert {f"akyolo/{path.relative_to(ROOT)}" for path in tracked} <= names
    assert {name.split("/")[0] for name in names} == {
        "akyolo",
        "akyolo_command.py",
        f"{name_and_version(wheel)}.dist-info",
    }


@pytest.mark.slow
def test_the_wheel_is_typed_and_says_what_it_is(wheel):
    archive, of = zipfile.ZipFile(wheel), f"{name_and_version(wheel)}.dist-info"
    assert "akyolo/py.typed" in archive.namelist()
    assert archive.read(f"{of}/entry_points.txt").decode() == "[console_scripts]\nakyolo = akyolo_command:main\n"
    metadata = email.message_from_bytes(archive.read(f"{of}/METADATA"))
    assert (metadata["Name"], metadata["Version"]) == ("akyolo", PROJECT["version"])
    assert metadata["License-Expression"] == "AGPL-3.0-only" and f"{of}/licenses/LICENSE" in archive.namelist()
    assert metadata["Description-Content-Type"] == "text/markdown" and metadata.get_payload().startswith("# akyolo")


@pytest.mark.slow
def test_the_wheel_works_without_the_checkout(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import akyolo\n"
        "from akyolo.datasets.shapes.store import Spec\n"
        "assert 'site' in akyolo.__file__ and Spec.read().names[0] == 'bar'\n"
        "import akyolo_command; assert 'site' in akyolo_command.__file__\n"
        "print(akyolo.YOLO('cfg/yolov8s-akconv5.yaml').model.yaml['scale'])\n"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert run.stdout.split()[-1] == "s", run.stderr


def test_every_extra_the_code_names_exists():
    named = {extra for path in (ROOT / "akyolo").rglob("*.py") for extra in EXTRA.findall(path.read_text())}
    assert {"export", "openvino", "track"} <= named <= PROJECT["optional-dependencies"].keys()


def fake_python(folder, failing):
    """A python3 that lacks what `failing` matches."""
    file = folder / "python3"
    file.write_text(f'#!/bin/sh\ncase "$*" in *{failing}*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    file.chmod(0o755)
    return str(file)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failing", "message"),
    [("ensurepip", "sudo apt-get install -y python3-venv libgl1"), ("version_info", "akyolo needs Python 3.11")],
)
@pytest.mark.parametrize("script", ["quickstart", "test"])
def test_the_scripts_name_what_a_machine_lacks(script, failing, message, tmp_path):
    environment = os.environ | {"PYTHON": fake_python(tmp_path, failing)}
    run = subprocess.run(
        [str(ROOT / "scripts" / script)], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert run.returncode == 2 and message in run.stderr and len(run.stderr.splitlines()) == 1


LATE = ["faster_coco_eval", "matplotlib", "onnx", "onnxruntime", "openvino", "pycocotools", "ray", "torchvision"]


@pytest.mark.slow
def test_the_command_line_imports_neither_optional_nor_slow_packages():
    code = f"import sys, akyolo.cli; print([name for name in {LATE} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["[]"]
