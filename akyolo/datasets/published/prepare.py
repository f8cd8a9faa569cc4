"""Published archives -> a data set ready to train on and to evaluate with, or a refusal: never something in between.

Everything lies in one folder: `archives/` for what was downloaded, `.partial-<pid>/` while somebody works, and in the
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
"""Raise it when the same archives give other labels or annotations: no set of an older converter is taken for new."""
MANIFEST, PINS, LOCK, OWNER = "manifest.json", "pins.json", ".prepare.lock", ".prepare.owner"
RESULTS = ("images", "labels", "annotations", REPORT, DATA_YAML)  # in the order in which they are put in place


@dataclass(frozen=True)
class Prepared:
    """A finished data set; `fresh` says whether this call made it."""

    data: Path
    manifest: dict[str, Any]
    fresh: bool


def prepare(spec: Spec, root: Path, archives: Path | None = None, boxes: BoxRule = "exact") -> Prepared:
    """Make the data set of `spec` in `root`, unless it is there already; safe to kill, and to start several times.

    Args:
        spec: what is expected.
        root: the folder of the finished set.
        archives: a folder that holds the archives, only read; None to download them into `root`.
        boxes: how VOC's boxes become labels.

    Raises:
        DatasetError: an archive is missing, altered or hostile, or what is in it is not what is expected.
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
        with _alone(root):
            if done := _finished(spec, root, key):
                return Prepared(root / DATA_YAML, done, fresh=False)
            return Prepared(root / DATA_YAML, _prepare(spec, root, archives, boxes, key), fresh=True)
    except OSError as error:
        location = str(error.filename or root)
        raise DatasetError(f"the file system refuses: {error.strerror or error}", location=location) from error


def _finished(spec: Spec, root: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest, if the set is complete and the one that is asked for."""
    try:
        manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        made, files = dict(manifest["key"]), manifest["files"]
    except (FileNotFoundError, NotADirectoryError, KeyError, TypeError, ValueError):  # none, or none of ours
        return None
    if made != key:
        different = ", ".join(name for name in key if made.get(name) != key[name])
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
    """How many images and labels there are, by split, and the bytes of the annotations."""
    found = {}
    for split in spec.splits:
        truth = root / "annotations" / f"{split}.json"
        images = _count(root / "images" / split, IMAGE_SUFFIXES)
        labels = _count(root / "labels" / split, frozenset({".txt"}))
        found[split] = [images, labels, truth.stat().st_size if truth.is_file() else 0]
    return found


def _count(folder: Path, suffixes: frozenset[str]) -> int:
    """Files of that kind; a training may have put its caches beside them."""
    return sum(one.suffix.lower() in suffixes for one in folder.iterdir()) if folder.is_dir() else 0


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """One process at a time; the system gives the lock back when its owner dies."""
    owner = root / OWNER

    def say_who() -> None:
        who = owner.read_text(encoding="utf-8") if owner.is_file() else "another process"
        print(f"akyolo: waiting for {who}, which prepares {root}", file=sys.stderr)

    with lock(root / LOCK, on_wait=say_who):
        try:
            owner.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
            yield
        finally:
            with suppress(OSError):
                owner.unlink(missing_ok=True)


def _prepare(spec: Spec, root: Path, source: Path | None, boxes: BoxRule, key: dict[str, Any]) -> dict[str, Any]:
    """All the work, under the lock."""
    remove_partial(root)
    remove(root / MANIFEST)
    with publish_folder(root, RESULTS, locked=True) as tree:
        pins = _read_pins(root / PINS)
        known = [_pinned(archive, pins) for archive in spec.archives]
        files = _on_disk(known, source) if source else _download(known, root / "archives")
        unpacked = tree / "unpacked"
        unpacked.mkdir()
        for archive, file in zip(known, files, strict=True):
            _unpack(file, unpacked, unchecked=not source and archive.md5 is None)
        splits = {split: _read(spec, split, unpacked, boxes) for split in spec.splits}
        _check(spec, splits)
        rejected = [rejection for part in splits.values() for rejection in part.rejected]
        write_tree(YoloSet.from_splits(splits, spec.names, rejected), tree, root, move)
        sums = {
            file.name: {"bytes": file.stat().st_size, "md5": archive.md5 or md5_of(file)}
            for archive, file in zip(known, files, strict=True)
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
    try:
        return {name: dict(sums) for name, sums in json.loads(file.read_text(encoding="utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (AttributeError, TypeError, ValueError) as error:
        raise DatasetError(f"no JSON of sums: {error}", location=str(file)) from error


def _pinned(archive: Archive, pins: dict[str, Any]) -> Archive:
    """The archive with the size and sum of the first preparation, where the spec has none."""
    pin = pins.get(archive.file, {})
    return replace(archive, bytes=archive.bytes or pin.get("bytes"), md5=archive.md5 or pin.get("md5"))


def _on_disk(archives: list[Archive], folder: Path) -> list[Path]:
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
    folder.mkdir(exist_ok=True)
    return [fetch(archive, folder) for archive in archives]


def _unpack(file: Path, into: Path, unchecked: bool) -> None:
    try:
        unpack(file, into)
    except BrokenArchiveError:
        if unchecked:  # a download that nobody could tell from a whole one before: the next start gets it again
            file.unlink()
        raise


def _read(spec: Spec, split: str, unpacked: Path, boxes: BoxRule) -> SplitAnnotations:
    """Read the annotations of one split from the unpacked archives."""
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
    """Return the paths of a source in the folder of the unpacked archives."""
    return unpacked / source.images, unpacked / source.annotations, unpacked / source.list if source.list else None


def _check(spec: Spec, splits: dict[str, SplitAnnotations]) -> None:
    """Check the counts, and that nothing is rejected that no published set has."""
    for split, part in splits.items():
        if unexpected := part.unexpected():
            raise DatasetError(f"split {split} cannot be used: {summary_of(unexpected)}", location=spec.file)
        counts, expected = part.counts(), spec.splits[split].counts
        wrong = [f"{name} {counts[name]:,} instead of {n:,}" for name, n in expected.items() if counts[name] != n]
        if wrong:
            what = f"split {split} has {', '.join(wrong)}"
            raise DatasetError(what, location=spec.file, remedy="Get the archives again; nothing was written.")
