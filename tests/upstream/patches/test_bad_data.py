"""Damaged and hostile data sets are named or refused; they are never changed and never run."""

import hashlib
import json
import struct
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ultralytics.data import converter

import akyolo
from akyolo.errors import DatasetError
from akyolo.upstream.patches import dataset_scan as scanning
from akyolo.upstream.patches import label_cache
from tests.helpers.tiny_training import PLAIN, arguments, write_images, write_model


class Payload:
    """Create a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "数据 集é").mkdir()
    return tmp_path / "数据 集é"


@pytest.fixture
def model(folder):
    return akyolo.YOLO(write_model(folder, PLAIN))


def run(model, folder, data, **changes):
    model.train(**arguments(folder, data=data, epochs=1, batch=30, **changes))
    return model


def fingerprint(folder):
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file): hashlib.md5(file.read_bytes()).hexdigest() for file in files}


def spoil(folder, kind):
    """Damage one training image or its labels; return what a message must say of it."""
    image, label = (
        folder / "data" / name / "train" / f"03.{end}" for name, end in (("images", "png"), ("labels", "txt"))
    )
    match kind:
        case "truncated":
            image.write_bytes(image.read_bytes()[:900])
            return "03.png: ignoring corrupt image/label: image cannot be read"
        case "no image":
            image.write_bytes(b"nothing")
            return "not an image of a format"
        case "huge":
            header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
            image.write_bytes(
                b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
            )
            return "image of 20000x20000 pixels|image cannot be read"
        case _:
            label.write_text(f"{kind}\n")
            return "03.png: ignoring corrupt image/label"


DAMAGE = ["truncated", "no image", "huge", "7 0.5 0.5 0.2 0.2", "0 -0.5 0.5 0.2 0.2", "0 0.5 0.5 1.2 0.2", "x y"]


@pytest.mark.training
@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_stops_a_training_and_is_named_and_the_data_do_not_change(folder, model, kind):
    data = write_images(folder, 12, 4)
    message, before = spoil(folder, kind), fingerprint(folder / "data")
    with pytest.raises(
        DatasetError, match=rf"1 of 12 images cannot be used: {folder}.*({message})(.|\n)*allow_bad=True"
    ):
        run(model, folder, data)
    with pytest.raises(DatasetError, match="1 of 12"):  # and again
        run(model, folder, data)
    assert fingerprint(folder / "data") == before


@pytest.mark.training
def test_allow_bad_trains_on_the_rest_for_this_training_only(folder, model):
    data = write_images(folder, 12, 4)
    spoil(folder, "truncated")
    run(model, folder, data, allow_bad=True)
    assert len(model.trainer.train_loader.dataset) == 11
    with pytest.raises(DatasetError, match="1 of 12"):  # from what the first scan has kept
        run(model, folder, data)


@pytest.mark.training
def test_damage_in_the_split_that_is_validated_on(folder, model):
    data = write_images(folder, 12, 4)
    run(model, folder, data)
    (folder / "data" / "labels" / "val" / "02.txt").write_text("0 5 5 5 5\n")
    with pytest.raises(DatasetError, match="1 of 4 images cannot be used"):
        model.val(data=data, project=str(folder), plots=False)
    model.val(data=data, project=str(folder), plots=False, allow_bad=True)


@pytest.mark.training
def test_an_image_with_bytes_after_its_end_is_used_and_not_rewritten(folder, model):
    from PIL import Image

    data = write_images(folder, 12, 4)
    old = folder / "data" / "images" / "train" / "03.png"
    image = old.with_suffix(".jpg")
    with Image.open(old) as drawn:
        drawn.save(image)
    old.unlink()
    image.write_bytes(image.read_bytes() + b"\0\0")
    before = fingerprint(folder / "data")
    run(model, folder, data)
    assert len(model.trainer.train_loader.dataset) == 12 and fingerprint(folder / "data") == before


@pytest.mark.training
def test_a_foreign_cache_is_neither_run_nor_deleted(folder, model, tmp_path):
    data = write_images(folder, 12, 4)
    traps = [folder / "data" / "labels" / f"{split}.cache" for split in ("train", "val")]
    for trap in traps:
        with trap.open("wb") as stream:
            np.save(stream, np.array(Payload(tmp_path / "ran"), dtype=object), allow_pickle=True)
    before = fingerprint(folder / "data")
    run(model, folder, data)
    model.val(data=data, project=str(folder), plots=False)
    assert not (tmp_path / "ran").exists() and fingerprint(folder / "data") == before


@pytest.mark.training
def test_a_foreign_cache_among_classified_images(folder, tmp_path):
    import cv2

    for split in ("train", "val"):
        for name in ("a", "b"):
            (folder / "set" / split / name).mkdir(parents=True)
            cv2.imwrite(str(folder / "set" / split / name / "0.png"), np.full((32, 32, 3), 99, np.uint8))
        with (folder / "set" / f"{split}.cache").open("wb") as stream:
            np.save(stream, np.array(Payload(tmp_path / "ran"), dtype=object), allow_pickle=True)
    text = "nc: 2\nbackbone:\n  - [-1, 1, Conv, [16, 3, 2]]\nhead:\n  - [-1, 1, Classify, [nc]]\n"
    model = akyolo.YOLO(write_model(folder, text), task="classify")
    before = fingerprint(folder / "set")
    for _ in range(2):  # scanned, then kept
        run(model, folder, str(folder / "set"))
    assert not (tmp_path / "ran").exists() and fingerprint(folder / "set") == before
    (folder / "set" / "val" / "a" / "0.png").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"1 of 2 images cannot be used: .*\n  allow_bad=True trains on the rest"):
        run(model, folder, str(folder / "set"))


@pytest.mark.training
def test_a_second_start_opens_no_image_of_a_read_only_folder(folder, model, monkeypatch):
    data = write_images(folder, 12, 4)
    folders = [path for path in (folder / "data").rglob("*") if path.is_dir()]
    for path in folders:
        path.chmod(0o555)
    opened = []
    monkeypatch.setattr(scanning, "shown_size", lambda image: opened.append(image) or (64, 64))
    run(model, folder, data)
    assert len(opened) == 16
    run(model, folder, data)
    assert len(opened) == 16
    for path in folders:
        path.chmod(0o755)


def test_a_saved_scan_is_loaded_unchanged(tmp_path):
    content = {
        "labels": [
            {"im_file": "数 \udcff.png", "shape": (48, 64), "cls": np.zeros((0, 1), np.float32), "keypoints": None},
            {"bboxes": np.arange(8, dtype=np.float32).reshape(2, 4), "segments": [np.ones((3, 2)), np.zeros((4, 2))]},
        ],
        "results": (1, 2, np.int64(3), 4, 5),
        "samples": [("a", 0), ("b", 1)],
        "msgs": [],
    }
    label_cache.save(tmp_path / "a.cache", content)
    back = label_cache.load(tmp_path / "a.cache")
    assert repr(back) == repr(content).replace("np.int64(3)", "3") and not (tmp_path / "a.cache").exists()
    back["labels"][1]["bboxes"][0] = 7  # upstream scales them in place


DOWNLOADS = ["open('{marker}', 'w')", "bash -c 'touch {marker}'", "https://example.com/a.zip"]


@pytest.mark.parametrize("download", DOWNLOADS)
@pytest.mark.parametrize("way", ["train", "val", "cfg", "export", "trainer", "folder", "deep folder", "bare name"])
def test_a_data_yaml_that_runs_something_is_refused(folder, model, tmp_path, monkeypatch, download, way):
    data = Path(write_images(folder, 12, 4))
    text = data.read_text().replace("images/val", "images/nothing")
    for file in (data, folder / "mine.yaml"):
        file.write_text(f"{text}download: {download.format(marker=tmp_path / 'ran')!r}\n")
    monkeypatch.chdir(folder)
    with pytest.raises(DatasetError, match=r"(data|mine)\.yaml:\d+: 'download' is refused"):
        match way:
            case "val":
                model.val(data=str(data), project=str(folder))
            case "cfg":
                (folder / "settings.yaml").write_text(f"data: {data}\n")
                model.val(cfg=str(folder / "settings.yaml"), project=str(folder))
            case "export":
                model.export(format="onnx", int8=True, data=str(data))
            case "deep folder":
                (folder / "a" / "b" / "c").mkdir(parents=True)
                data.rename(folder / "a" / "b" / "c" / "data.yaml")
                run(model, folder, str(folder / "a"))
            case "trainer":  # as a worker, or a resumed training, begins
                from akyolo.upstream.training.trainer import DetectionTrainer

                DetectionTrainer(overrides=arguments(folder, data=str(data), model=str(folder / "tiny.yaml")))
            case _:
                run(model, folder, {"train": str(data), "folder": str(folder), "bare name": "mine"}[way])
    assert not (tmp_path / "ran").exists()


def test_yamls_of_upstream_and_copies_of_them_may_have_a_download(in_tmp):
    from ultralytics.utils import ROOT

    from akyolo.upstream.arguments.data import check_runs_nothing

    check_runs_nothing("coco8.yaml")
    check_runs_nothing("VOC.yaml")
    original = ROOT / "cfg" / "datasets" / "VOC.yaml"
    (in_tmp / "VOC.yaml").write_bytes(original.read_bytes())
    check_runs_nothing("VOC.yaml")
    (in_tmp / "VOC.yaml").write_bytes(original.read_bytes() + b"# changed\n")
    with pytest.raises(DatasetError, match="'download' is refused"):
        check_runs_nothing("VOC.yaml")


def test_a_yaml_in_a_folder_of_classified_images_is_not_checked(in_tmp):
    from akyolo.upstream.arguments.data import resolve_data

    (in_tmp / "notes.yaml").write_text("download: [\n")
    assert resolve_data({"data": str(in_tmp)}, "classify") == {"data": str(in_tmp)}


class Session:
    """Replace a session of aiohttp, which local images do not need."""

    def __init__(self, **_):
        pass

    async def __aenter__(self):
        pass

    async def __aexit__(self, *_):
        pass


def test_a_program_in_an_ndjson_file_is_refused(folder, model, tmp_path, monkeypatch):
    """Upstream writes a data YAML from it; here the images of `val` are missing, so it would download."""
    monkeypatch.setitem(sys.modules, "aiohttp", SimpleNamespace(ClientSession=Session))
    monkeypatch.setattr(converter, "check_requirements", lambda *_: True)
    monkeypatch.setattr(converter, "DATASETS_DIR", tmp_path / "datasets")
    write_images(folder, 3, 1)
    payload = f"open('{tmp_path / 'ran'}', 'w')"
    about = {"task": "detect", "class_names": {"0": "a"}, "path": "data", "val": "nowhere", "download": payload}
    boxes = {"boxes": [[0, 0.5, 0.5, 0.1, 0.1]]}
    images = [{"file": f"{n:02}.png", "split": "train", "annotations": boxes} for n in range(3)]
    file = folder / "set.ndjson"
    file.write_text("\n".join(map(json.dumps, [about, *images])))
    with pytest.raises(RuntimeError, match="'download' is refused"):
        run(model, folder, str(file))
    assert not (tmp_path / "ran").exists()


@pytest.mark.training
@pytest.mark.parametrize("left", ["torn", "something else"])
def test_a_saved_scan_that_cannot_be_read_is_repeated(folder, model, left):
    data = write_images(folder, 12, 4)
    run(model, folder, data)
    kept = label_cache.file_of(folder / "data" / "labels" / "train.cache")
    content = kept.read_bytes()
    kept.write_bytes(content[: len(content) // 2] if left == "torn" else b"[]")
    run(model, folder, data)
    assert len(model.trainer.train_loader.dataset) == 12 and kept.read_bytes() == content


@pytest.mark.training
def test_a_training_runs_without_a_cache_folder(folder, model, tmp_path):
    (tmp_path / "cache").write_text("in the way of the folder")
    run(model, folder, write_images(folder, 12, 4))
    assert len(model.trainer.train_loader.dataset) == 12
