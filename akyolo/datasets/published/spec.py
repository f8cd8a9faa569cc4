"""What is expected of a data set before a byte of it is read: `data/<name>.yaml`, or a file with the same keys."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from akyolo.checks import COUNTING, FROM_0, check_number
from akyolo.datasets.yolo.plain_yaml import read_plain_yaml
from akyolo.datasets.yolo.splits import SPLITS
from akyolo.errors import DatasetError, did_you_mean
from akyolo.resources import packaged

Format = Literal["coco-json", "voc-xml", "visdrone-txt"]
FORMATS: tuple[str, ...] = get_args(Format)
COUNTS = ("images", "annotations", "considered", "boxes", "empty", "degenerate")
"""What can be counted in a split: images; entries of its COCO json; those of them that an evaluation counts (no crowd,
not to be ignored); label rows for training; images without an entry; boxes left out for having no width or height."""
MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Archive:
    """One file to download. Without `bytes` and `md5`, those of the first preparation that worked are pinned."""

    file: str
    bytes: int | None
    md5: str | None
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """Where images and annotations lie in the unpacked archives; `list` is a file of stems, one a line, if not all."""

    images: str
    annotations: str
    list: str | None = None


@dataclass(frozen=True)
class Split:
    """Its sources, several for VOC alone, and what has to be counted in it in the end (see `COUNTS`)."""

    sources: tuple[Source, ...]
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Spec:
    """A data set as it is published; `file` is what was read."""

    file: str
    format: Format
    names: tuple[str, ...]
    archives: tuple[Archive, ...]
    splits: Mapping[str, Split]

    def digest(self, **options: Any) -> str:
        """Twelve hex digits that change with whatever decides what the finished set holds; mirrors do not."""
        content = asdict(self) | options
        del content["file"]
        for archive in content["archives"]:
            del archive["urls"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def find_spec(name: str) -> Spec:
    """The spec that came with akyolo under this name, or of a file of the user's.

    Raises:
        DatasetError: there is none, or it cannot be used.
    """
    known = {file.stem: file for file in sorted(packaged("data").glob("*.yaml")) if file.stem != "shapes"}
    if name in known:
        return read_spec(known[name])
    if Path(name).suffix not in {".yaml", ".yml"}:
        raise DatasetError(f"no data set {name!r}", remedy=f"{did_you_mean(name, known)}; or name a SPEC.yaml")
    return read_spec(Path(name))


def read_spec(file: Path) -> Spec:
    """Read a spec strictly: every key is known, every value of the right kind, no path leads out of the archives.

    Raises:
        DatasetError: with the file, and the key in it.
    """
    top = _Reader(f"{file}", read_plain_yaml(file), ("format", "names", "archives", "splits"))
    names = tuple(top.texts("names"))
    if not names or len(set(names)) < len(names):
        raise DatasetError("names must be a list of different class names", location=top.location)
    archives = tuple(_archive(_Reader(location, one, _keys(Archive))) for location, one in top.items("archives"))
    if not archives or len({one.file for one in archives}) < len(archives):
        raise DatasetError("archives must be a list of different files", location=top.location)
    form = top.text("format")
    if form not in FORMATS:
        raise DatasetError(f"unknown format {form!r}", location=top.location, remedy=did_you_mean(form, FORMATS))
    splits = {
        name: _split(_Reader(location, one, _keys(Split))) for name, location, one in top.mappings("splits", SPLITS)
    }
    if not {"train", "val"} <= splits.keys():
        raise DatasetError("splits must have train and val", location=top.location)
    for name, split in splits.items():
        if form != "voc-xml" and (len(split.sources) > 1 or split.sources[0].list):
            what = f"splits.{name}: several sources, or a list of stems, are for voc-xml alone"
            raise DatasetError(what, location=top.location)
    return Spec(str(file), form, names, archives, splits)  # type: ignore[arg-type]


def _keys(kind: type) -> tuple[str, ...]:
    return tuple(kind.__dataclass_fields__)  # type: ignore[attr-defined]


def _archive(read: "_Reader") -> Archive:
    file, md5, size = read.text("file"), read.optional_text("md5"), read.data.get("bytes")
    if PurePosixPath(file).name != file or "\\" in file or file.startswith("."):
        raise DatasetError(f"file {file!r} must be a name without folders", location=read.location)
    if md5 is not None and not MD5.fullmatch(md5):
        raise DatasetError(f"md5 {md5!r} must be 32 hex digits in lower case", location=read.location)
    if size is not None:
        check_number(f"bytes {size!r}", size, COUNTING, error=DatasetError, location=read.location)
    urls = read.texts("urls")
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise DatasetError(f"url {url!r} must begin with http:// or https://", location=read.location)
    return Archive(file, size, md5, tuple(urls))


def _split(read: "_Reader") -> Split:
    sources = tuple(_source(_Reader(location, one, _keys(Source))) for location, one in read.items("sources"))
    if not sources:
        raise DatasetError("sources must not be empty", location=read.location)
    counts = read.numbers("counts", COUNTS)
    if "images" not in counts:
        raise DatasetError("counts must have images", location=read.location)
    return Split(sources, counts)


def _source(read: "_Reader") -> Source:
    paths: dict[str, Any] = {key: read.optional_text(key) if key == "list" else read.text(key) for key in _keys(Source)}
    for key, path in paths.items():
        if path is not None and (PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts):
            raise DatasetError(f"{key} {path!r} leads out of the archives", location=read.location)
    return Source(**paths)


class _Reader:
    """One mapping of the file with the place where it stands; every mistake in it names that place."""

    def __init__(self, location: str, data: Any, keys: tuple[str, ...]) -> None:
        if not isinstance(data, dict):
            raise DatasetError("must be a mapping of keys to values", location=location)
        for key in data:
            if key not in keys:
                raise DatasetError(f"unknown key {key!r}", location=location, remedy=did_you_mean(str(key), keys))
        self.location, self.data = location, data

    def optional_text(self, key: str) -> str | None:
        value = self.data.get(key)
        if value is not None and not isinstance(value, str):
            raise DatasetError(f"{key} {value!r} must be a text", location=self.location)
        return value

    def text(self, key: str) -> str:
        value = self.optional_text(key)
        if not value:
            raise DatasetError(f"{key} is missing", location=self.location)
        return value

    def texts(self, key: str) -> list[str]:
        value = self.data.get(key)
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise DatasetError(f"{key} must be a list of texts", location=self.location)
        return value

    def items(self, key: str) -> list[tuple[str, Any]]:
        value = self.data.get(key)
        if not isinstance(value, list):
            raise DatasetError(f"{key} must be a list", location=self.location)
        return [(f"{self.location}, {key}[{number}]", one) for number, one in enumerate(value)]

    def mappings(self, key: str, known: tuple[str, ...]) -> list[tuple[str, str, Any]]:
        inner = _Reader(f"{self.location}, {key}", self.data.get(key), known)
        return [(name, f"{inner.location}.{name}", one) for name, one in inner.data.items()]

    def numbers(self, key: str, known: tuple[str, ...]) -> dict[str, int]:
        inner = _Reader(f"{self.location}, {key}", self.data.get(key), known)
        for name, count in inner.data.items():
            check_number(f"{name} {count!r}", count, FROM_0, error=DatasetError, location=inner.location)
        return inner.data
