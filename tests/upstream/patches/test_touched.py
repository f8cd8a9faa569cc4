"""The list of foreign names that akyolo changes, compared with what is really changed."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import akyolo
from akyolo.upstream import RELIED_ON, patches

PACKAGE = Path(akyolo.__file__).parent
FOREIGN = ("thop", "torch", "ultralytics")
COMPARE = """
import importlib, json, pkgutil, sys, types
import torch, torch.distributed, torchvision, ultralytics
for name in sys.argv[1:]:
    importlib.import_module(name)

LEAVES = (bool, int, float, str, bytes, type(None))

def names():
    values, contents = {}, {}
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] not in ("thop", "torch", "ultralytics") or not isinstance(module, types.ModuleType):
            continue
        for key, value in list(vars(module).items()):
            if key.startswith("__") or isinstance(value, types.ModuleType):
                continue
            values[f"{name}.{key}"] = value
            if name.startswith(("thop", "ultralytics")):
                if isinstance(value, type) and value.__module__ == name:
                    values |= {f"{name}.{key}.{k}": v for k, v in vars(value).items() if not k.startswith("__")}
                elif isinstance(value, dict):
                    contents[f"{name}.{key}"] = {k: repr(v) for k, v in value.items()}
                elif isinstance(value, types.SimpleNamespace):
                    contents[f"{name}.{key}"] = {k: repr(v) for k, v in vars(value).items()}
    return values, contents

def safe():
    return {getattr(value, "__qualname__", str(value)) for value in torch.serialization.get_safe_globals()}

before, filled = names()
allowed = safe()
import pytest

import akyolo
now, refilled = names()
changed = [name for name, value in before.items() if name in now and now[name] is not value]
groups = {}  # the names of one collection in the modules that import it
for name, content in filled.items():
    if refilled.get(name, content) != content:
        groups.setdefault(id(before[name]), []).append(name)
print(json.dumps({
    "replaced": [name for name in changed if not isinstance(before[name], LEAVES) or before[name] != now[name]],
    "extended": list(groups.values()),
    "lost": [name for group in groups.values() for name in group if filled[name].keys() - refilled[name].keys()],
    "safe": len(safe() - allowed),
}))
"""


def listed(*how):
    return {touched.name for touched in patches.TOUCHED if touched.how in how}


@pytest.mark.slow
def test_import_changes_what_the_list_says():
    """In a fresh interpreter that has imported all that we rely on."""
    run = subprocess.run([sys.executable, "-c", COMPARE, *RELIED_ON], capture_output=True, text=True, check=True)
    changed = json.loads(run.stdout.splitlines()[-1])
    safe = {name for name in changed["replaced"] if name.startswith("torch._weights_only_unpickler.")}
    assert changed["safe"] and len(safe) == 1  # where torch keeps what `add_safe_globals` is given
    assert set(changed["replaced"]) - safe == listed(patches.REPLACED)
    extended = {next(iter(listed(patches.EXTENDED) & set(group)), str(group)) for group in changed["extended"]}
    assert extended == listed(patches.EXTENDED) - {"torch.serialization.add_safe_globals"}
    assert not changed["lost"]


def foreign_names(tree):
    """Return the dotted foreign name of each local name."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in FOREIGN:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {a.asname or a.name.split(".")[0]: a.name for a in node.names if a.name.split(".")[0] in FOREIGN}
    return names


def dotted(node, names):
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute) and (inner := dotted(node.value, names)):
        return f"{inner}.{node.attr}"
    return None


def assigned(tree, names):
    """Yield foreign names that a file assigns, or replaces by `replaced`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from filter(None, (dotted(target, names) for target in targets if isinstance(target, ast.Attribute)))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "replaced":
            yield from (f"{dotted(node.args[0], names)}.{keyword.arg}" for keyword in node.keywords)


def test_no_file_assigns_a_foreign_name_that_is_not_listed():
    changed = set()
    for file in PACKAGE.rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = {(name, file.relative_to(PACKAGE).as_posix()) for name in assigned(tree, foreign_names(tree))}
        changed |= names
    ways = (patches.REPLACED, patches.FOR_ONE_CALL, patches.BY_COMMANDS)
    expected = {(touched.name, touched.file) for touched in patches.TOUCHED if touched.how in ways}
    assert changed == expected - {("ultralytics.utils.LOGGER.filters", patches.SEAM)}


def test_no_file_overrides_a_method_on_an_instance_that_is_not_listed():
    methods = {name.rpartition(".")[2] for names in RELIED_ON.values() for name in names if "." in name}
    overridden = {
        (target.attr, file.relative_to(PACKAGE).as_posix())
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.attr in methods
    }
    expected = [touched for touched in patches.TOUCHED if touched.how == patches.ON_AN_INSTANCE]
    assert overridden == {(touched.name.rpartition(".")[2], touched.file) for touched in expected}


def test_listed_files_exist_and_name_what_they_touch():
    for touched in patches.TOUCHED:
        name = {"filters": "addFilter"}.get(leaf := touched.name.rpartition(".")[2], leaf)
        assert name in (PACKAGE / touched.file).read_text(encoding="utf-8"), touched
