"""Read the specification of a published data set.

It is `data/<name>.yaml`, or a file of the user with the same keys.
"""

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
"""What can be counted in a split.

The images; the entries of its COCO json; those of them that an evaluation considers (not crowd, not ignored); label
rows for training; images without an entry; boxes left out because they have no width or height.
"""
MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Archive:
    """One file to download.

    Without `bytes` and `md5`, those of the first successful preparation are pinned.
    """

    file: str
    bytes: int | None
    md5: str | None
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """Paths in the unpacked archives.

    Attributes:
        images: the folder of the images.
        annotations: the folder or file of the annotations.
        list: a file of stems, one in a line; None takes all.
    """

    images: str
    annotations: str
    list: str | None = None


@dataclass(frozen=True)
class Split:
    """Sources and expected counts of one split.

    Attributes:
        sources: one, or several for VOC.
        counts: the expected numbers (see `COUNTS`).
    """

    sources: tuple[Source, ...]
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Spec:
    """The specification of a published data set, read from `file`."""

    file: str
    format: Format
    names: tuple[str, ...]
    archives: tuple[Archive, ...]
    splits: Mapping[str, Split]

    def digest(self, **options: Any) -> str:
        """Return twelve digits that identify the finished set.

        They do not depend on the mirrors.
        """
        content = asdict(self) | options
        del content["file"]
        for archive in content["archives"]:
            del archive["urls"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def find_spec(name: str) -> Spec:
    """Read a packaged spec or a file.

    Raises:
        DatasetError: There is none, or it cannot be used.
    """
    packaged_specs = {file.stem: file for file in sorted(packaged("data").glob("*.yaml")) if file.stem != "shapes"}
    if name in packaged_specs:
        return read_spec(packaged_specs[name])
    if Path(name).suffix not in {".yaml", ".yml"}:
        raise DatasetError(f"no data set {name!r}", remedy=f"{did_you_mean(name, packaged_specs)}; or name a SPEC.yaml")
    return read_spec(Path(name))


def read_spec(file: Path) -> Spec:
    """Read and check a spec.

    Raises:
        DatasetError: A key is unknown, a value has the wrong type, or a path leads out of the archives.
    """
    top = _Reader(f"{file}", read_plain_yaml(file), ("format", "names", "archives", "splits"))
    names = tuple(top.texts("names"))
    if not names or len(set(names)) < len(names):
        raise DatasetError("names must be a list of different class names", location=top.location)
    archives = tuple(_archive(_Reader(location, item, _keys(Archive))) for location, item in top.items("archives"))
    if not archives or len({archive.file for archive in archives}) < len(archives):
        raise DatasetError("archives must be a list of different files", location=top.location)
    format_name = top.text("format")
    if format_name not in FORMATS:
        remedy = did_you_mean(format_name, FORMATS)
        raise DatasetError(f"unknown format {format_name!r}", location=top.location, remedy=remedy)
    splits = {
        name: _split(_Reader(location, item, _keys(Split))) for name, location, item in top.mappings("splits", SPLITS)
    }
    if not {"train", "val"} <= splits.keys():
        raise DatasetError("splits must have train and val", location=top.location)
    for name, split in splits.items():
        if format_name != "voc-xml" and (len(split.sources) > 1 or split.sources[0].list):
            what = f"splits.{name}: several sources, or a list of stems, are for voc-xml alone"
            raise DatasetError(what, location=top.location)
    return Spec(str(file), format_name, names, archives, splits)  # type: ignore[arg-type]


def _keys(dataclass_type: type) -> tuple[str, ...]:
    """Return the field names of a dataclass."""
    return tuple(dataclass_type.__dataclass_fields__)  # type: ignore[attr-defined]


def _archive(read: "_Reader") -> Archive:
    """Read one archive."""
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
    """Read one split."""
    sources = tuple(_source(_Reader(location, item, _keys(Source))) for location, item in read.items("sources"))
    if not sources:
        raise DatasetError("sources must not be empty", location=read.location)
    counts = read.numbers("counts", COUNTS)
    if "images" not in counts:
        raise DatasetError("counts must have images", location=read.location)
    return Split(sources, counts)


def _source(read: "_Reader") -> Source:
    """Read one source."""
    source = Source(read.text("images"), read.text("annotations"), read.optional_text("list"))
    for key, path in vars(source).items():
        if path is not None and (PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts):
            raise DatasetError(f"{key} {path!r} leads out of the archives", location=read.location)
    return source


class _Reader:
    """A mapping and its location for error messages."""

    def __init__(self, location: str, data: Any, keys: tuple[str, ...]) -> None:
        """Check that `data` has these keys only."""
        if not isinstance(data, dict):
            raise DatasetError("must be a mapping of keys to values", location=location)
        for key in data:
            if key not in keys:
                raise DatasetError(f"unknown key {key!r}", location=location, remedy=did_you_mean(str(key), keys))
        self.location, self.data = location, data

    def optional_text(self, key: str) -> str | None:
        """Return a text, or None if the key is missing."""
        value = self.data.get(key)
        if value is not None and not isinstance(value, str):
            raise DatasetError(f"{key} {value!r} must be a text", location=self.location)
        return value

    def text(self, key: str) -> str:
        """Return a text that is not empty."""
        value = self.optional_text(key)
        if not value:
            raise DatasetError(f"{key} is missing", location=self.location)
        return value

    def texts(self, key: str) -> list[str]:
        """Return a list of texts."""
        value = self.data.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise DatasetError(f"{key} must be a list of texts", location=self.location)
        return value

    def items(self, key: str) -> list[tuple[str, Any]]:
        """Return list items with their locations."""
        value = self.data.get(key)
        if not isinstance(value, list):
            raise DatasetError(f"{key} must be a list", location=self.location)
        return [(f"{self.location}, {key}[{number}]", item) for number, item in enumerate(value)]

    def mappings(self, key: str, names: tuple[str, ...]) -> list[tuple[str, str, Any]]:
        """Return name, location and value of entries."""
        inner = _Reader(f"{self.location}, {key}", self.data.get(key), names)
        return [(name, f"{inner.location}.{name}", value) for name, value in inner.data.items()]

    def numbers(self, key: str, names: tuple[str, ...]) -> dict[str, int]:
        """Return a mapping of names to counts."""
        inner = _Reader(f"{self.location}, {key}", self.data.get(key), names)
        for name, count in inner.data.items():
            check_number(f"{name} {count!r}", count, FROM_0, error=DatasetError, location=inner.location)
        return inner.data
