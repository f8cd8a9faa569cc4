"""What `import akyolo` promises: names, signatures, types, and examples that run."""

import ast
import doctest
import importlib
import inspect
import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import akyolo
from akyolo import registry
from akyolo.cost import CONVENTIONS, Cost

SURFACE = Path(__file__).with_name("api_surface.json")
ROOT = Path(__file__).resolve().parents[1]
# which public functions compute what a module of the same operator does
FUNCTIONS = {"LDConv": "akconv", "ModulatedDeformConv": "deform_conv", "DSConv": "dsconv", "RFAConv": "rfaconv"}


def signature(value: object) -> str:
    """The signature, without the modules in which its types lie."""
    return re.sub(r"(?:\w+\.)+(?=[A-Z])", "", str(inspect.signature(value)))


def surface() -> dict[str, dict[str, str]]:
    """Every public name with its signature; of sub-packages their `__all__`."""
    packages = [info.name for info in pkgutil.iter_modules(akyolo.__path__) if info.ispkg and info.name != "cli"]
    return {
        "akyolo": {name: signature(getattr(akyolo, name)) for name in akyolo.__all__},
        **{
            f"akyolo.{name}": sorted(getattr(importlib.import_module(f"akyolo.{name}"), "__all__", ()))
            for name in packages
        },
    }


def test_names_and_signatures_are_the_recorded_ones():
    """To record a change, run this file as a program: the diff of api_surface.json shows it."""
    assert json.loads(SURFACE.read_text()) == surface()


def test_every_operator_and_its_function_are_public():
    """A new file in ops/ is an attribute at once; scripts/release-check asks for its name in `__all__`."""
    for spec in akyolo.operators():
        if spec.source.__name__.startswith("akyolo."):
            assert getattr(akyolo, spec.name) is spec.module
        if spec.name in akyolo.__all__:
            function = FUNCTIONS.get(spec.name) or spec.source.__name__.rpartition(".")[2]
            assert callable(getattr(akyolo, function)) and function in akyolo.__all__


def test_a_star_import_brings_them_all():
    names: dict[str, object] = {}
    exec("from akyolo import *", names)
    assert set(akyolo.__all__) <= names.keys()


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators that an example registers are gone after it."""
    monkeypatch.setattr(registry, "_operators", dict(registry._operators))


def examples() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder(recurse=False)
    for name in akyolo.__all__:
        yield from finder.find(getattr(akyolo, name), f"akyolo.{name}", module=False, globs={})


@pytest.mark.parametrize("example", list(examples()), ids=lambda test: test.name)
def test_examples_run(example, own_registry, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)  # they name model YAMLs as a user in a checkout does
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(example)
    assert runner.summarize(verbose=False).failed == 0


def package_examples() -> Iterator[doctest.DocTest]:
    """The examples of what is not public, in every module of akyolo."""
    public = {id(getattr(akyolo, name)) for name in akyolo.__all__}
    finder = doctest.DocTestFinder()
    for info in pkgutil.walk_packages(akyolo.__path__, "akyolo."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            file = registry.defining_module(value) if isinstance(value, type) else getattr(value, "__module__", None)
            if file == info.name and callable(value) and id(value) not in public:
                tests = finder.find(value, f"{info.name}.{name}", module=False, globs=dict(vars(module)))
                yield from (test for test in tests if test.examples)


def test_examples_of_the_package_run(own_registry, monkeypatch):
    monkeypatch.chdir(ROOT)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    examples_here = list(package_examples())
    for example in examples_here:
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0
    assert len(examples_here) + len(akyolo.__all__) >= 40


def test_every_public_name_has_an_example():
    with_examples = {test.name.removeprefix("akyolo.") for test in examples() if test.examples}
    assert with_examples == set(akyolo.__all__)


@pytest.mark.slow
def test_a_program_of_a_user_type_checks(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import torch\n"
        "from akyolo import YOLO, AKConv, akconv, count, operators, sample, swap\n"
        "network = torch.nn.Sequential(AKConv(3, 16, 5, 2), AKConv(16, 8, num_param=3))\n"
        "mapping: dict[str, object] = swap('yolov8n.yaml', 'AKConv', (5,), 'downsample')\n"
        "params: int = count(network, 64, 'unfused').params\n"
        "names: list[str] = [spec.name for spec in operators()]\n"
        "wrong: str = count(network).params\n"
        "AKConv('three')\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(program)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    errors = [line for line in run.stdout.splitlines() if "error:" in line]
    assert [int(line.split(":")[1]) for line in errors] == [7, 8, 8], run.stdout + run.stderr


def test_operators_work_in_a_network_without_a_parser():
    network = torch.nn.Sequential(akyolo.AKConv(3, 16, 5, 2), torch.nn.ReLU(), akyolo.DSConv(16, 8, 5))
    out = network(torch.rand(2, 3, 18, 26, requires_grad=True))
    assert out.shape == (2, 8, 9, 13)
    out.sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_swap_takes_a_name_a_path_and_a_mapping(tmp_path):
    by_name = akyolo.swap("yolov8n.yaml", "AKConv", (5,), "downsample", padding_mode="border")
    assert by_name["backbone"][1] == [-1, 1, "AKConv", [128, 5, 2, {"padding_mode": "border"}]]
    from_path = akyolo.swap(ROOT / "cfg" / "yolov8n-akconv5.yaml", "Conv", (3,), "downsample")
    assert from_path["backbone"][1] == [-1, 1, "Conv", [128, 3, 2]]
    again = akyolo.swap(by_name, "Conv", (3,), "downsample")
    assert again["backbone"] == from_path["backbone"] and by_name["backbone"][1][2] == "AKConv"


@pytest.mark.parametrize(
    "convention", [pytest.param(name, marks=() if name == "deployed" else pytest.mark.slow) for name in CONVENTIONS]
)
def test_count_takes_whatever_names_a_model(convention):
    name = "cfg/yolov8n-akconv5.yaml"
    model = akyolo.YOLO(str(ROOT / name), verbose=False)
    costs = {
        repr(akyolo.count(of, 64, convention))
        for of in (name, model, model.model, akyolo.swap("yolov8n.yaml", "AKConv", (5,), "downsample"))
    }
    assert len(costs) == 1 and isinstance(akyolo.count(model, (64, 96), convention), Cost)


def test_count_refuses_what_has_no_layers_and_unknown_conventions():
    with pytest.raises(akyolo.errors.AkyoloError, match="did you mean 'deployed'"):
        akyolo.count("yolov8n.yaml", convention="deploy")


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: akyolo.count(torch.nn.Linear(3, 2)), "Linear has no convolution"),
        (lambda: akyolo.count("yolov8n.yaml", 0), "imgsz=0 must be a positive whole number"),
        (lambda: akyolo.count("yolov8n.yaml", "640"), "imgsz='640' must be"),
        (lambda: akyolo.count("yolov8n.yaml", (1, 2, 3)), "imgsz=\\(1, 2, 3\\) must be"),
        (lambda: akyolo.swap("yolov8n.yaml", "AKConv", 5), "args=5 must be a sequence"),
        (lambda: akyolo.swap("yolov8n.yaml", "AKConv", (5,), 1), "where=1 must be a text"),
        (lambda: akyolo.score("nope.npz", protocol="foo"), "there is no protocol 'foo'"),
    ],
)
def test_values_that_cannot_be_used_are_errors_of_akyolo(call, what):
    with pytest.raises(akyolo.errors.AkyoloError, match=what):
        call()


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "akyolo" / "py.typed").is_file()
    tree = ast.parse((ROOT / "akyolo" / "__init__.py").read_text())
    assert any(isinstance(node, ast.Assign) and node.targets[0].id == "__all__" for node in tree.body)


if __name__ == "__main__":
    SURFACE.write_text(json.dumps(surface(), indent=1) + "\n")
