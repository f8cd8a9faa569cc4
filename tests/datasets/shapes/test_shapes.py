"""The embedded set: reproducible, exact, fair (shape is the only cue), and never half there."""

import ast
import contextlib
import hashlib
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from akyolo import files
from akyolo.datasets.shapes import draw, store
from akyolo.errors import DatasetError

FULL = store.Spec.read()
SMALL = replace(FULL, train=24, val=8, size=96)

# Another digest here means other images: increase draw.DRAWING together with it.
PIXELS = {
    (0, 0): "e8d209e2d7806429",
    (0, 447): "65d651b682bb7572",
    (0, 448): "91842b0f52fc8462",
    (7, 3): "4a833ba4ba3f76ea",
}


@pytest.fixture(scope="module")
def full_set(tmp_path_factory):
    """The data YAML of the whole set."""
    return store.prepare(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def fork():
    """A context that forks children from a clean process which has the module loaded: they start in milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([store.__name__])
    return context


def labels_of(text, size):
    rows = np.array([line.split() for line in text.splitlines()], dtype=float)
    centre, side = rows[:, 1:3] * size, rows[:, 3:] * size
    return np.concatenate([centre - side / 2, centre + side / 2], 1), rows[:, 0].astype(int)


@pytest.mark.parametrize("module", [draw, store, files])
def test_module_needs_neither_torch_nor_ultralytics(module):
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    froms = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    allowed = {"cv2", "filelock", "numpy", "yaml", "platformdirs", "akyolo.errors", "akyolo.files", "akyolo.resources"}
    allowed |= {draw.__name__}
    assert froms | plain <= allowed | sys.stdlib_module_names | {"collections.abc"}


@pytest.mark.parametrize(("seed", "index"), PIXELS)
def test_pixels_are_pinned(seed, index):
    image, boxes, classes = draw.draw_image(seed, index, 320)
    assert image.shape == (320, 320, 3) and image.dtype == np.uint8
    digest = hashlib.sha256(image.tobytes() + boxes.tobytes() + classes.tobytes()).hexdigest()
    assert digest[:16] == PIXELS[seed, index]


def test_an_image_does_not_depend_on_those_drawn_before():
    alone = draw.draw_image(0, 5, 96)
    for index in range(6):
        again = draw.draw_image(0, index, 96)
    assert all(np.array_equal(a, b) for a, b in zip(alone, again, strict=True))


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**31), index=st.integers(0, 10**6))
def test_boxes_are_tight_around_the_painted_pixels(seed, index):
    """Paint on black, every object in a grey of its own, and read the boxes off the image (noise is +-10)."""
    greys = iter(range(40, 256, 25))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draw, "_background", lambda _, size: np.zeros((size, size, 3), np.uint8))
        patch.setattr(draw, "_texture", lambda _, behind: np.full_like(behind, next(greys)))
        image, boxes, classes = draw.draw_image(seed, index, 320)
    owner = (image[..., 0].astype(int) - 40 + 12) // 25
    assert owner.max() + 1 == len(boxes) == len(classes) >= 1
    for number, box in enumerate(boxes):
        rows, columns = np.nonzero(owner == number)
        assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    longest = (boxes[:, 2:] - boxes[:, :2]).max(1)
    assert longest.min() >= 12 and longest.max() <= 200


@pytest.mark.slow
def test_nothing_but_the_shape_tells_the_class(monkeypatch):
    """Colour, contrast, place, size and rotation: the mean of each class lies within four standard errors of all's."""
    original, seen, table, kinds = draw._mask, [], [], []

    def seen_mask(outline, turn, side):
        mask = original(outline, turn, side)
        seen.append((turn * np.pi / 128, mask[np.ix_(mask.any(1), mask.any(0))]))
        return mask

    monkeypatch.setattr(draw, "_mask", seen_mask)
    for index in range(300):
        seen.clear()
        image, boxes, classes = draw.draw_image(FULL.seed, index, 192)
        kinds.extend(classes)
        for (x0, y0, x1, y1), (angle, mask) in zip(boxes, seen, strict=True):
            colours, side = image[y0:y1, x0:x1][mask].astype(float), np.log2(max(x1 - x0, y1 - y0))
            contrast = np.abs(colours.mean(0) - image.mean((0, 1))).sum()
            place = [(x0 + x1) / 2, (y0 + y1) / 2, np.cos(angle), np.sin(angle)]
            table.append([*colours.mean(0), colours.std(0).mean(), contrast, side, *place])
    table, kinds = np.array(table), np.array(kinds)
    counts = np.bincount(kinds)
    assert len(counts) == len(FULL.names)
    assert np.abs(counts - len(kinds) / len(counts)).max() < 4 * np.sqrt(len(kinds) / len(counts))
    means = np.stack([table[kinds == kind].mean(0) for kind in range(len(counts))])
    z = (means - table.mean(0)) / (table.std(0) / np.sqrt(counts)[:, None])
    assert np.abs(z).max() < 4, f"class, cue: {np.argwhere(np.abs(z) >= 4)}"


@pytest.mark.slow
def test_counts_and_labels_are_those_of_the_specification(full_set):
    home = full_set.parent
    for split, count, first in (("train", 448, 0), ("val", 256, 448)):
        images = sorted((home / "images" / split).glob("*.jpg"))
        labels = sorted((home / "labels" / split).glob("*.txt"))
        assert len(images) == len(labels) == count == getattr(FULL, split)
        assert [f.stem for f in images] == [f.stem for f in labels] == [f"{first + i:06d}" for i in range(count)]
    for split, index in (("train", 0), ("train", 447), ("val", 448), ("val", 703)):
        image, boxes, classes = draw.draw_image(FULL.seed, index, FULL.size)
        written = labels_of((home / "labels" / split / f"{index:06d}.txt").read_text(), FULL.size)
        assert np.array_equal(written[0], boxes) and np.array_equal(written[1], classes)
        stored = cv2.imread(str(home / "images" / split / f"{index:06d}.jpg"))
        assert np.abs(stored.astype(int) - image).mean() < 8
    assert sum(f.stat().st_size for f in home.rglob("*") if f.is_file()) < 40e6


@pytest.mark.slow
def test_upstream_reads_the_data_yaml(full_set, tmp_path):
    code = (
        "import json, sys; from ultralytics.data.utils import check_det_dataset as check;"
        "d = check(sys.argv[1], autodownload=False); print(json.dumps([d['nc'], d['names'], d['train'], d['val']]))"
    )
    offline = {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "false", "YOLO_CONFIG_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code, str(full_set)]
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | offline, cwd=tmp_path)
    count, names, train, val = json.loads(out.stdout.splitlines()[-1])
    assert count == 6 and tuple(names.values()) == FULL.names
    assert [Path(train), Path(val)] == [full_set.parent / "images" / split for split in ("train", "val")]
    assert "download" not in yaml.safe_load(full_set.read_text())


def start(root, barrier, answers):
    """Child: prepare when all the others are ready, too."""
    with contextlib.redirect_stderr(io.StringIO()) as log:
        barrier.wait(30)
        path = store.prepare(root, SMALL)
    answers.put((path, log.getvalue()))


@pytest.mark.slow
def test_four_starts_at_once_make_one_set(tmp_path, fork):
    barrier, answers = fork.Barrier(4), fork.Queue()
    children = [fork.Process(target=start, args=(tmp_path, barrier, answers)) for _ in range(4)]
    for child in children:
        child.start()
    paths, logs = zip(*(answers.get(timeout=60) for _ in children), strict=True)
    for child in children:
        child.join(30)
    home = tmp_path / f"shapes-{SMALL.digest}"
    assert set(paths) == {home / "shapes.yaml"}
    assert sum(log.count("drawing") for log in logs) == 1
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == [home.name]
    assert store._inventory(home)[0] == 2 * (SMALL.train + SMALL.val)


def files_below(root):
    """Count files while somebody moves and removes them."""
    return sum(len(files) for _, _, files in os.walk(root))


@pytest.mark.slow
def test_a_killed_start_leaves_nothing_that_passes_for_a_set(tmp_path, fork):
    home = tmp_path / f"shapes-{SMALL.digest}"
    total = 2 * (SMALL.train + SMALL.val)
    interrupted = 0
    for point in np.linspace(0, total + 3, 20).astype(int):  # the lock, the data YAML and the manifest count, too
        child = fork.Process(target=store.prepare, args=(tmp_path, SMALL))
        child.start()
        while child.is_alive() and files_below(tmp_path) < point:
            time.sleep(0.0005)
        os.kill(child.pid, signal.SIGKILL)
        child.join(30)
        if home.exists():
            assert (home / "manifest.json").exists() and store._inventory(home)[0] == total
            break
        interrupted += 1
    assert interrupted >= 10
    assert store.prepare(tmp_path, SMALL) == home / "shapes.yaml"
    assert store._inventory(home)[0] == total
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == [home.name]


def damage_nothing(home):
    return home


def no_manifest(home):
    (home / "manifest.json").unlink()
    return home


def half_a_manifest(home):
    (home / "manifest.json").write_text("{")
    return home


def an_image_lost(home):
    next((home / "images" / "val").iterdir()).unlink()
    return home


def an_image_cut_short(home):
    next((home / "images" / "train").iterdir()).write_bytes(b"")
    return home


def moved(home):
    elsewhere = home.parent.parent / "elsewhere"
    home.parent.rename(elsewhere)
    return elsewhere / home.name


@pytest.mark.parametrize(
    ("damage", "redrawn"),
    [
        (damage_nothing, False),
        (no_manifest, True),
        (half_a_manifest, True),
        (an_image_lost, True),
        (an_image_cut_short, True),
        (moved, True),
    ],
)
def test_a_damaged_set_is_drawn_again_and_a_good_one_is_not(tmp_path, capsys, damage, redrawn):
    path = store.prepare(tmp_path / "cache", SMALL)
    before = path.stat().st_ino
    expected = {f.name: f.read_bytes() for f in path.parent.glob("*/*/*")}
    capsys.readouterr()
    home = damage(path.parent)
    path = store.prepare(home.parent, SMALL)
    assert ("drawing" in capsys.readouterr().err) == redrawn == (path.stat().st_ino != before)
    assert {f.name: f.read_bytes() for f in home.glob("*/*/*")} == expected
    assert yaml.safe_load(path.read_text())["path"] == str(home)


def test_a_complete_set_is_used_where_nothing_may_be_written(tmp_path, monkeypatch):
    path = store.prepare(tmp_path, SMALL)

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(store, "lock", refuse)
    assert store.prepare(tmp_path, SMALL) == path


def test_a_set_is_placed_in_the_users_cache_by_default(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "user_cache_path", lambda name: tmp_path / name)
    assert store.prepare(spec=SMALL).parent.parent == tmp_path / "akyolo"


def test_another_specification_is_another_set():
    others = [SMALL, replace(SMALL, seed=1), replace(SMALL, size=64), replace(SMALL, train=25)]
    assert len({spec.digest for spec in others}) == len(others)


def test_an_unwritable_place_is_the_users_to_mend(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="cannot be written"):
        store.prepare(tmp_path / "file", SMALL)


def test_names_that_the_code_cannot_draw_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "packaged", lambda _: tmp_path)
    (tmp_path / "shapes.yaml").write_text("{names: [bar, square], images: {train: 1, val: 1}, size: 64, seed: 0}")
    with pytest.raises(DatasetError, match="square"):
        store.Spec.read()
