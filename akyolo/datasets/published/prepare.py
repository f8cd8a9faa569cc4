"""Prepare a published data set for training and evaluation.

Everything lies in one folder: the downloads in `archives/`, a temporary folder `.partial-*` during the work, and at the
end images, labels, annotations, data.yaml and rejected.csv. `manifest.json` is written last: without it the folder is
not prepared, whatever else is in it, and the next start begins anew from the archives.
"""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from akyolo.datasets.formats import coco, visdrone, voc
from akyolo.datasets.formats.annotations import summary_of
from akyolo.datasets.formats.images import IMAGE_SUFFIXES
from akyolo.datasets.formats.split import SplitAnnotations
from akyolo.datasets.formats.voc_xml import BoxRule
from akyolo.datasets.published.archive import BrokenArchiveError, unpack
from akyolo.datasets.published.download import fetch, md5_of, verify
from akyolo.datasets.published.spec import Archive, Source, Spec
from akyolo.datasets.yolo.layout import (
    DATA_YAML,
    REPORT,
    YoloSet,
    check_empty,
    check_outside,
    data_yaml_text,
    move,
    write_tree,
)
from akyolo.errors import ConfigError, DatasetError
from akyolo.files import lock, publish_folder, remove, remove_partial, write

CONVERTER = 1
"""Increase it when the same archives give other labels or annotations, so that older sets are not used."""
MANIFEST, PINS, LOCK, OWNER = "manifest.json", "pins.json", ".prepare.lock", ".prepare.owner"
RESULTS = ("images", "labels", "annotations", REPORT, DATA_YAML)  # in the order in which they are published


@dataclass(frozen=True)
class Prepared:
    """A finished data set.

    Attributes:
        data: its data YAML.
        manifest: sums, counts and reasons.
        fresh: whether this call made it.
    """

    data: Path
    manifest: dict[str, Any]
    fresh: bool


def prepare(spec: Spec, root: Path, archives: Path | None = None, boxes: BoxRule = "exact") -> Prepared:
    """Prepare a published data set, if necessary.

    It can be killed at any moment, and started several times at once.

    Args:
        spec: what is expected of the data set.
        root: the folder of the finished set.
        archives: a folder that holds the archives and is only read; None downloads them into `root`.
        boxes: how VOC's boxes become labels.

    Raises:
        DatasetError: An archive is missing, altered or hostile, or its content is not as expected.
        ConfigError: `root` holds something else.
    """
    root = root.absolute()
    key = {"converter": CONVERTER, "spec": spec.digest(), "boxes": boxes}
    try:
        if done := _finished(spec, root, key):
            return Prepared(root / DATA_YAML, done, fresh=False)
        if archives:
            check_outside(root, archives)
        if not (root / LOCK).exists():
            check_empty(root)
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root):
            if done := _finished(spec, root, key):
                return Prepared(root / DATA_YAML, done, fresh=False)
            return Prepared(root / DATA_YAML, _prepare(spec, root, archives, boxes, key), fresh=True)
    except OSError as error:
        location = str(error.filename or root)
        raise DatasetError(f"the file system refuses: {error.strerror or error}", location=location) from error


def _finished(spec: Spec, root: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    """Return the manifest if the set is complete.

    Raises:
        ConfigError: The set was prepared with other options.
    """
    try:
        manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        prepared_key, files = dict(manifest["key"]), manifest["files"]
    except (
        FileNotFoundError,
        NotADirectoryError,
        KeyError,
        TypeError,
        ValueError,
    ):  # missing, or not written by akyolo
        return None
    if prepared_key != key:
        different = ", ".join(name for name in key if prepared_key.get(name) != key[name])
        raise ConfigError(
            f"holds a data set prepared with another {different}",
            location=str(root),
            remedy=f"Name a new folder, or delete {root / MANIFEST} to prepare it anew.",
        )
    if files != _inventory(root, spec):
        return None
    text = data_yaml_text(root, spec.splits, spec.names, spec.splits)
    if not (root / DATA_YAML).is_file() or (root / DATA_YAML).read_text(encoding="utf-8") != text:
        write(root / DATA_YAML, text.encode())  # the folder was moved
    return dict(manifest)


def _inventory(root: Path, spec: Spec) -> dict[str, list[int]]:
    """Count images, labels and bytes by split."""
    inventory = {}
    for split in spec.splits:
        ground_truth = root / "annotations" / f"{split}.json"
        images = _count(root / "images" / split, IMAGE_SUFFIXES)
        labels = _count(root / "labels" / split, frozenset({".txt"}))
        inventory[split] = [images, labels, ground_truth.stat().st_size if ground_truth.is_file() else 0]
    return inventory


def _count(folder: Path, suffixes: frozenset[str]) -> int:
    """Count the files with one of the suffixes."""
    return sum(file.suffix.lower() in suffixes for file in folder.iterdir()) if folder.is_dir() else 0


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Hold the lock of `root`, or wait."""
    owner = root / OWNER

    def name_owner() -> None:
        process = owner.read_text(encoding="utf-8") if owner.is_file() else "another process"
        print(f"akyolo: waiting for {process}, which prepares {root}", file=sys.stderr)

    with lock(root / LOCK, on_wait=name_owner):
        try:
            owner.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
            yield
        finally:
            with suppress(OSError):
                owner.unlink(missing_ok=True)


def _prepare(spec: Spec, root: Path, source: Path | None, boxes: BoxRule, key: dict[str, Any]) -> dict[str, Any]:
    """Prepare the data set and return its manifest.

    Call it under the lock.
    """
    remove_partial(root)
    remove(root / MANIFEST)
    with publish_folder(root, RESULTS, locked=True) as tree:
        pins = _read_pins(root / PINS)
        pinned = [_pinned(archive, pins) for archive in spec.archives]
        files = _on_disk(pinned, source) if source else _download(pinned, root / "archives")
        unpacked = tree / "unpacked"
        unpacked.mkdir()
        for archive, file in zip(pinned, files, strict=True):
            _unpack(file, unpacked, unchecked=not source and archive.md5 is None)
        splits = {split: _read(spec, split, unpacked, boxes) for split in spec.splits}
        _check(spec, splits)
        rejected = [rejection for part in splits.values() for rejection in part.rejected]
        write_tree(YoloSet.from_splits(splits, spec.names, rejected), tree, root, move)
        sums = {
            file.name: {"bytes": file.stat().st_size, "md5": archive.md5 or md5_of(file)}
            for archive, file in zip(pinned, files, strict=True)
        }
        manifest = {
            "key": key,
            "name": Path(spec.file).stem,
            "archives": sums,
            "counts": {split: part.counts() for split, part in splits.items()},
            "dropped": {split: part.dropped() for split, part in splits.items()},
            "remarks": [remark for part in splits.values() for remark in part.remarks],
            "files": _inventory(tree, spec),
        }
    write(root / PINS, (json.dumps(pins | sums, indent=1) + "\n").encode())
    write(root / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
    return manifest


def _read_pins(file: Path) -> dict[str, Any]:
    """Return pinned sizes and sums by archive."""
    try:
        return {name: dict(sums) for name, sums in json.loads(file.read_text(encoding="utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (AttributeError, TypeError, ValueError) as error:
        raise DatasetError(f"is not a JSON file of sums: {error}", location=str(file)) from error


def _pinned(archive: Archive, pins: dict[str, Any]) -> Archive:
    """Fill in a missing size and sum."""
    pin = pins.get(archive.file, {})
    return replace(archive, bytes=archive.bytes or pin.get("bytes"), md5=archive.md5 or pin.get("md5"))


def _on_disk(archives: list[Archive], folder: Path) -> list[Path]:
    """Return the verified archives of a folder."""
    files = [folder / archive.file for archive in archives]
    if missing := [file.name for file in files if not file.is_file()]:
        raise DatasetError(
            f"not there: {', '.join(missing)}", location=str(folder), remedy="Without --from they are downloaded."
        )
    for archive, file in zip(archives, files, strict=True):
        print(f"akyolo: checking {file.name}", file=sys.stderr)
        verify(archive, file)
    return files


def _download(archives: list[Archive], folder: Path) -> list[Path]:
    """Download the archives and return their paths."""
    folder.mkdir(exist_ok=True)
    return [fetch(archive, folder) for archive in archives]


def _unpack(file: Path, into: Path, unchecked: bool) -> None:
    """Unpack an archive; delete a broken download."""
    try:
        unpack(file, into)
    except BrokenArchiveError:
        if unchecked:  # Without a sum only the unpacking shows that it is broken. The next start downloads it again.
            file.unlink()
        raise


def _read(spec: Spec, split: str, unpacked: Path, boxes: BoxRule) -> SplitAnnotations:
    """Read the annotations of one split."""
    print(f"akyolo: reading {split}", file=sys.stderr)
    sources = [_inside(unpacked, source) for source in spec.splits[split].sources]
    if spec.format == "voc-xml":
        return voc.read_voc(sources, boxes, spec.names)
    images, annotations, _ = sources[0]
    if spec.format == "visdrone-txt":
        return visdrone.read_visdrone(images, annotations, spec.names)

    def find_image(name: str) -> Path | None:
        # The image is moved later, so a path that leads elsewhere is never followed.
        return images / name if Path(name).name == name and (images / name).is_file() else None

    part, names = coco.read_coco(annotations, find_image)
    if names != spec.names:
        what = f"has another class list: {', '.join(names)}"
        raise DatasetError(what, location=annotations.name, remedy=f"expected {', '.join(spec.names)}")
    return part


def _inside(unpacked: Path, source: Source) -> tuple[Path, Path, Path | None]:
    """Return the unpacked paths of a source."""
    return unpacked / source.images, unpacked / source.annotations, unpacked / source.list if source.list else None


def _check(spec: Spec, splits: dict[str, SplitAnnotations]) -> None:
    """Check the counts and the reasons of rejections."""
    for split, part in splits.items():
        if unexpected := part.unexpected():
            raise DatasetError(f"split {split} cannot be used: {summary_of(unexpected)}", location=spec.file)
        counts, expected = part.counts(), spec.splits[split].counts
        wrong = [f"{name} {counts[name]:,} instead of {n:,}" for name, n in expected.items() if counts[name] != n]
        if wrong:
            what = f"split {split} has {', '.join(wrong)}"
            raise DatasetError(what, location=spec.file, remedy="Get the archives again; nothing was written.")
