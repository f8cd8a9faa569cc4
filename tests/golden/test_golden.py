"""Golden parity: arrays computed by the official implementations (`--golden-dir`, default: the committed part)."""

import json
from pathlib import Path

import numpy as np

from tests.helpers.golden import FAMILIES

DEFAULT = Path(__file__).parent / "data"


def pytest_generate_tests(metafunc):
    folder = Path(metafunc.config.getoption("golden_dir") or DEFAULT)
    entries = json.loads((folder / "manifest.json").read_text())["files"]
    cases = [(folder / name, entry) for name, entry in sorted(entries.items()) if entry["family"] in FAMILIES]
    unlisted = [
        (path, {"family": known, "unlisted": True})
        for path in sorted(folder.glob("*.npz"))
        for known in FAMILIES
        if path.name not in entries and path.name.startswith(known)
    ]
    metafunc.parametrize(("path", "entry"), cases + unlisted, ids=[path.stem for path, _ in cases + unlisted])


def test_golden(path, entry, record_property):
    assert not entry.get("unlisted"), f"{path.name} is not in the manifest beside it, so it cannot be checked"
    with np.load(path, allow_pickle=False) as arrays:
        contents = {name: arrays[name] for name in arrays}
    assert contents.keys() == entry["arrays"].keys()
    FAMILIES[entry["family"]](contents, entry)
    record_property("golden", entry["family"])
