"""The file of detections: it keeps every field, and other files are refused in one line."""

import dataclasses
import json
import pickle

import numpy as np
import pytest

from akyolo.errors import ConfigError, first_line
from akyolo.scoring.detections import read_detections
from akyolo.scoring.protocols import PROTOCOLS, score
from tests.helpers.small_sets import random_set

ABOUT = {
    "single_cls": False,
    "model": {"file": "best.pt", "sha256": "cd" * 32},
    "data": "/data/数据.yaml",
    "split": "val",
    "annotations": True,
}


@pytest.fixture
def stored(tmp_path):
    detections, ground_truth = random_set(2)
    file = tmp_path / "detections.npz"
    file.write_bytes(dataclasses.replace(detections, **ABOUT).to_bytes())
    return file, dataclasses.replace(detections, **ABOUT), ground_truth


def test_a_file_keeps_every_field(stored):
    file, detections, ground_truth = stored
    back = read_detections(file)
    for field in dataclasses.fields(detections):
        assert np.array_equal(getattr(back, field.name), getattr(detections, field.name)), field.name
    for protocol in PROTOCOLS:
        assert score(protocol, back, ground_truth) == score(protocol, detections, ground_truth)


def test_it_is_compressed_and_holds_no_pickle(stored):
    file, detections, _ = stored
    many = dataclasses.replace(
        detections, **{n: np.tile(getattr(detections, n), 50) for n in ("scores", "classes", "image")}
    )
    many = dataclasses.replace(many, xyxy_px=np.tile(detections.xyxy_px, (50, 1)))
    assert len(many.to_bytes()) < 24 * len(many) / 4
    with np.load(file, allow_pickle=False) as arrays:
        assert sorted(arrays) == ["about", "classes", "image", "scores", "xyxy_px"]
        assert json.loads(arrays["about"].tobytes())["nms"]["max_det"] == 300


def refused(file):
    with pytest.raises(ConfigError) as refusal:
        read_detections(file)
    assert first_line(refusal.value).startswith(f"{file}: is not a file of detections")
    return refusal.value


def test_every_truncation_is_refused(stored):
    file, *_ = stored
    whole = file.read_bytes()
    for length in range(0, len(whole), max(len(whole) // 60, 1)):
        file.write_bytes(whole[:length])
        refused(file)


def test_altered_bytes_are_refused_or_change_nothing(stored):
    file, detections, _ = stored
    whole = file.read_bytes()
    random = np.random.default_rng(0)
    for place in random.integers(0, len(whole), 80):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        try:
            back = read_detections(file)
        except ConfigError:
            continue
        assert np.array_equal(back.xyxy_px, detections.xyxy_px) and np.array_equal(back.scores, detections.scores)


class Payload:
    def __reduce__(self):
        return print, ("executed",)


def test_a_pickle_is_not_loaded(tmp_path, capsys):
    file = tmp_path / "detections.npz"
    np.savez(file, about=np.array([Payload()], object))
    refused(file)
    file.write_bytes(pickle.dumps(Payload()))
    refused(file)
    np.save(tmp_path / "x.npy", np.zeros(3))
    (tmp_path / "x.npy").rename(file)
    refused(file)
    refused(tmp_path / "nowhere.npz")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {"image": np.full(3, 12)},
        {"image": np.array([0, 1, -1])},
        {"classes": np.array([0, 1, 3])},
        {"classes": np.array([0.0, 1, 2])},
        {"scores": np.array([0.5, 1.5, 0.1])},
        {"scores": np.array([0.5, np.nan, 0.1])},
        {"scores": np.array([0.5])},
        {"xyxy_px": np.zeros((3, 5))},
        {"xyxy_px": np.full((3, 4), np.inf)},
        {"about": {"format": 2}},
        {"about": {"names": None}},
        {"about": {"nms": "0.7"}},
        {"about": {"sizes": [[1, 2]]}},
        {"about": {"unknown": 1}},
        {"about": {"images": ["same"] * 12}},
    ],
    ids=str,
)
def test_parts_that_do_not_fit_are_refused(tmp_path, wrong):
    detections, _ = random_set(2)
    with np.load(_written(tmp_path, detections)) as arrays:
        about = json.loads(arrays["about"].tobytes()) | wrong.get("about", {})
        parts = {name: arrays[name][:3] for name in ("classes", "image", "scores", "xyxy_px")}
    parts |= {name: values for name, values in wrong.items() if name != "about"}
    file = tmp_path / "wrong.npz"
    np.savez(file, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **parts)
    refused(file)


def _written(folder, detections):
    file = folder / "right.npz"
    file.write_bytes(detections.to_bytes())
    return file
