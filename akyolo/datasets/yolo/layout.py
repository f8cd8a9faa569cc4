"""The folder layout that Ultralytics trains from, written all at once or not at all."""

import csv
import json
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from akyolo.datasets.formats.annotations import Picture, Rejection
from akyolo.errors import ConfigError, DatasetError
from akyolo.files import publish_folder

REPORT = "rejected.csv"
DATA_YAML = "data.yaml"
COLUMNS = ("file", "object", "raw_box", "reason")


@dataclass(frozen=True)
class YoloSet:
    """A data set ready to be written: pictures by split, class names by index, and what was left out.

    `truths` holds, by split too, what detections are scored against, in COCO's format; where the labels have it all,
    there is none.
    """

    splits: Mapping[str, Sequence[Picture]]
    names: tuple[str, ...]
    rejected: tuple[Rejection, ...]
    truths: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def summary(self, out: str) -> str:
        """One line with the number of boxes kept and rejected; `out` is the folder as the user wrote it."""
        pictures = [one for split in self.splits.values() for one in split]
        boxes = sum(len(one.boxes) for one in pictures)
        objects = sum(bool(one.object) for one in self.rejected)
        files = len(self.rejected) - objects
        left_out = f" and {files} file{'s' * (files != 1)}" if files else ""
        return f"kept {boxes} boxes in {len(pictures)} images, rejected {objects}{left_out} ({Path(out) / REPORT})"


@dataclass(frozen=True)
class Imported:
    """What the readers of a user's folder hand over: the data set, and remarks on it in words."""

    content: YoloSet
    remarks: tuple[str, ...] = ()


def check_destination(out: Path, source: Path) -> None:
    """Refuse an `out` that holds something, or lies in `source`.

    Raises:
        ConfigError: with the reason.
    """
    check_outside(out, source)
    check_empty(out)


def check_outside(out: Path, source: Path) -> None:
    """Refuse an `out` in `source`, which must not change.

    Raises:
        ConfigError: it is.
    """
    target, origin = out.resolve(), source.resolve()
    if target == origin or origin in target.parents:
        raise ConfigError(f"lies in {source}, which is never written to", location=str(out))


def check_empty(out: Path) -> None:
    """Refuse an `out` that is there, unless as an empty folder.

    Raises:
        ConfigError: it is.
    """
    target = out.resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError("exists already and is not an empty folder", location=str(out), remedy="Name a new folder.")


def write_yolo(content: YoloSet, out: Path, *, copy: bool = False) -> None:
    """Write images (links unless `copy`), labels, data.yaml and the report, beside `out`, and rename when complete.

    Raises:
        DatasetError: the folder cannot be written; nothing is left behind.
    """
    target = out.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with publish_folder(target) as folder:
            write_tree(content, folder, target, copy_file if copy else link)
    except OSError as error:
        reason = f"cannot be written: {error.strerror or error}"
        remedy = None if copy else "Where symbolic links are not allowed, --copy copies the images."
        raise DatasetError(reason, location=str(out), remedy=remedy) from error


def copy_file(source: Path, image: Path) -> None:
    """A copy, without its permissions: a read-only source gives a usable one."""
    shutil.copyfile(source, image)


def link(source: Path, image: Path) -> None:
    """A symbolic link."""
    image.symlink_to(source.absolute())


def move(source: Path, image: Path) -> None:
    """The file itself, for a source that is ours."""
    source.rename(image)


def write_tree(content: YoloSet, tree: Path, target: Path, place: Callable[[Path, Path], None]) -> None:
    """Write everything into the empty folder `tree`, which will be, or whose content will be moved to, `target`.

    Args:
        content: what to write.
        tree: where.
        target: how data.yaml names the folder.
        place: puts one image (first argument) where it is to be (second).
    """
    index = {name: i for i, name in enumerate(content.names)}
    for split, pictures in content.splits.items():
        images, labels = tree / "images" / split, tree / "labels" / split
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for picture in pictures:
            place(picture.image, images / picture.image.name)
            # all digits of a float, so that reading a label gives back what was computed
            lines = (" ".join(map(str, (index[box.name], *box.cxcywh_norm))) + "\n" for box in picture.boxes)
            (labels / f"{picture.image.stem}.txt").write_text("".join(lines), encoding="utf-8")
    for split, truth in content.truths.items():
        (tree / "annotations").mkdir(exist_ok=True)
        (tree / "annotations" / f"{split}.json").write_text(json.dumps(truth), encoding="utf-8")
    text = data_yaml_text(target, content.splits, content.names, content.truths)
    (tree / DATA_YAML).write_text(text, encoding="utf-8")
    _write_report(tree / REPORT, content.rejected)


def data_yaml_text(target: Path, splits: Collection[str], names: Sequence[str], truths: Collection[str]) -> str:
    """The text of data.yaml; `annotations` says where an evaluation finds the truth of a split.

    `path` is absolute: Ultralytics would look for a relative one in its own data set folder.
    """
    data = {
        "path": str(target),
        **{split: f"images/{split}" for split in splits},
        "names": dict(enumerate(names)),
        **({"annotations": {split: f"annotations/{split}.json" for split in truths}} if truths else {}),
    }
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _write_report(file: Path, rejected: Sequence[Rejection]) -> None:
    # a file name may hold bytes that are no text: shown escaped rather than fatal
    with file.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows([getattr(one, column) for column in COLUMNS] for one in rejected)
