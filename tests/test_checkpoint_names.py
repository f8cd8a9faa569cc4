"""Checkpoints name our classes `akyolo.NAME`, and those of version 0.1, which name its files, still open."""

import pickle
import pickletools
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from ultralytics.nn.tasks import torch_safe_load

import akyolo
from akyolo.registry import FORMER_NAMES, registered_names

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "tests" / "checkpoints").glob("*.pt"))
OLD_NAMES = [(module, name) for module, names in FORMER_NAMES.items() for name in names]
QUICK = {"yolov8n-akconv5", "yolov7-tiny-akconv5", "mobilenetv2-dk"}
SHIPPED = sorted(path.relative_to(ROOT) for path in (ROOT / "cfg").glob("*.yaml"))


def classes_named_in(file: Path) -> set[str]:
    """Every `module name` of ours that a checkpoint would import."""
    with zipfile.ZipFile(file) as archive:
        pickled = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    named = {str(argument) for opcode, argument, _ in pickletools.genops(pickled) if opcode.name == "GLOBAL"}
    return {name for name in named if name.split()[0].split(".")[0] == "akyolo"}


def check_outputs(checkpoint: dict, file: Path) -> None:
    arrays = np.load(file.with_suffix(".npz"))
    network = (checkpoint.get("ema") or checkpoint["model"]).float().eval()
    with torch.no_grad():
        y = network(torch.from_numpy(arrays["x"]))[0].numpy()
    np.testing.assert_allclose(y, arrays["y"], rtol=0, atol=1e-6 * np.abs(arrays["y"]).max())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.parametrize("safe", [False, True], ids=["plain", "weights-only"])
def test_a_checkpoint_of_version_0_1_computes_what_it_did(file, safe):
    assert any(name.split()[0] != "akyolo" for name in classes_named_in(file))
    checkpoint = torch_safe_load(file, safe_only=True)[0] if safe else torch.load(file, weights_only=False)
    check_outputs(checkpoint, file)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_stored_again_it_names_public_classes_only(file, tmp_path):
    checkpoint = torch.load(file, weights_only=False)
    torch.save(checkpoint, tmp_path / "again.pt")
    named = classes_named_in(tmp_path / "again.pt")
    assert {name.split()[0] for name in named} == {"akyolo"}
    assert {name.split()[1] for name in named} == {name.split()[1] for name in classes_named_in(file)}
    check_outputs(torch_safe_load(tmp_path / "again.pt", safe_only=True)[0], file)


@pytest.mark.slow
@pytest.mark.parametrize("load", ["torch.load(file, weights_only=False)", "torch_safe_load(file)[0]"])
def test_a_process_that_never_imported_akyolo_opens_it(load):
    """A plain load imports the modules that the file names: those of 0.1, of which some are gone."""
    code = (
        "import sys, torch\n"
        "from ultralytics.nn.tasks import torch_safe_load\n"
        f"for file in {[str(file) for file in FILES]}:\n"
        f"    checkpoint = {load}\n"
        "    print(type(checkpoint.get('ema') or checkpoint['model']).__name__)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["DetectionModel"] * len(FILES), run.stderr


@pytest.mark.parametrize(("module", "name"), OLD_NAMES, ids=".".join)
def test_every_class_answers_to_its_name_of_version_0_1(module, name):
    assert pickle.loads(f"c{module}\n{name}\n.".encode()) is getattr(akyolo, name)


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=() if path.stem in QUICK else pytest.mark.slow, id=path.stem) for path in SHIPPED]
)
def test_no_class_of_a_model_is_named_by_its_file(path, tmp_path):
    """Inner layers and heads too."""
    torch.save(akyolo.YOLO(str(ROOT / path), verbose=False).model, tmp_path / "model.pt")
    assert {name.split()[0] for name in classes_named_in(tmp_path / "model.pt")} <= {"akyolo"}


def test_every_registered_class_is_an_attribute_of_the_package():
    for name in registered_names():
        module = akyolo.registry.operator(name).module
        if module.__module__ == "akyolo":
            assert getattr(akyolo, module.__name__) is module


def test_two_classes_of_one_name_are_refused():
    def another() -> type:
        return type("AKConv", (torch.nn.Module,), {"__module__": "akyolo.ops.another"})

    with pytest.raises(ValueError, match=r"akyolo\.AKConv is already another class"):
        akyolo.registry.checkpoint_class(another())
