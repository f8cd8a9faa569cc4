"""Write data sets in the layout of Ultralytics."""

import csv
import json
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from akyolo.datasets.formats.annotations import LabelledImage, Rejection
from akyolo.datasets.formats.split import SplitAnnotations
from akyolo.errors import ConfigError, DatasetError
from akyolo.files import publish_folder

REPORT = "rejected.csv"
DATA_YAML = "data.yaml"
COLUMNS = ("file", "object", "raw_box", "reason")


@dataclass(frozen=True)
class YoloSet:
    """A data set that is ready to be written.

    Attributes:
        splits: the labelled images by split.
        names: the class names by class index.
        rejected: what is left out.
        ground_truths: by split, what detections are scored against, in COCO's format. A split without one is scored
            against its labels.
    """

    splits: Mapping[str, Sequence[LabelledImage]]
    names: tuple[str, ...]
    rejected: tuple[Rejection, ...]
    ground_truths: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def from_splits(
        cls, splits: Mapping[str, SplitAnnotations], names: tuple[str, ...], rejected: Sequence[Rejection]
    ) -> "YoloSet":
        """Return the data set of these splits."""
        images = {split: part.images for split, part in splits.items()}
        return cls(images, names, tuple(rejected), {split: part.ground_truth for split, part in splits.items()})

    def summary(self, out: str) -> str:
        """Return the numbers of kept and rejected boxes.

        Args:
            out: the folder as the user wrote it.
        """
        images = [labelled for split in self.splits.values() for labelled in split]
        boxes = sum(len(labelled.boxes) for labelled in images)
        objects = sum(bool(rejection.object) for rejection in self.rejected)
        files = len(self.rejected) - objects
        left_out = f" and {files} file{'s' * (files != 1)}" if files else ""
        return f"kept {boxes} boxes in {len(images)} images, rejected {objects}{left_out} ({Path(out) / REPORT})"


@dataclass(frozen=True)
class Imported:
    """A data set of a user, and remarks on it."""

    content: YoloSet
    remarks: tuple[str, ...] = ()


def check_destination(out: Path, source: Path) -> None:
    """Check that `out` is empty and lies outside `source`.

    Raises:
        ConfigError: It is not empty, or lies in `source`.
    """
    check_outside(out, source)
    check_empty(out)


def check_outside(out: Path, source: Path) -> None:
    """Check that `out` lies outside `source`.

    Raises:
        ConfigError: It lies in `source`.
    """
    target, origin = out.resolve(), source.resolve()
    if target == origin or origin in target.parents:
        raise ConfigError(f"lies in {source}, which is never written to", location=str(out))


def check_empty(out: Path) -> None:
    """Check that `out` is missing or empty.

    Raises:
        ConfigError: It is something else.
    """
    target = out.resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError("exists already and is not an empty folder", location=str(out), remedy="Name a new folder.")


def write_yolo(content: YoloSet, out: Path, *, copy: bool = False) -> None:
    """Write images, labels, annotations, data.yaml and the report.

    Args:
        content: the data set.
        out: the folder to write; it appears when it is complete.
        copy: whether to copy the images instead of linking them.

    Raises:
        DatasetError: The folder cannot be written. Nothing is left behind.
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
    """Copy an image without its permissions.

    So the copy of a read-only image can be written and deleted.
    """
    shutil.copyfile(source, image)


def link(source: Path, image: Path) -> None:
    """Make a symbolic link to an image."""
    image.symlink_to(source.absolute())


def move(source: Path, image: Path) -> None:
    """Move an image of ours to its place."""
    source.rename(image)


def write_tree(content: YoloSet, tree: Path, target: Path, place: Callable[[Path, Path], None]) -> None:
    """Write a data set into an empty folder.

    Args:
        content: the data set.
        tree: the empty folder.
        target: the folder that data.yaml names: `tree`, or its content, will be moved there.
        place: puts an image (first argument) at its place (second).
    """
    class_ids = {name: class_id for class_id, name in enumerate(content.names)}
    for split, labelled_images in content.splits.items():
        images, labels = tree / "images" / split, tree / "labels" / split
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for labelled in labelled_images:
            place(labelled.image, images / labelled.image.name)
            # All digits of a float are written, so that reading a label returns what was computed.
            lines = (" ".join(map(str, (class_ids[box.name], *box.cxcywh_norm))) + "\n" for box in labelled.boxes)
            (labels / f"{labelled.image.stem}.txt").write_text("".join(lines), encoding="utf-8")
    for split, ground_truth in content.ground_truths.items():
        (tree / "annotations").mkdir(exist_ok=True)
        (tree / "annotations" / f"{split}.json").write_text(json.dumps(ground_truth), encoding="utf-8")
    text = data_yaml_text(target, content.splits, content.names, content.ground_truths)
    (tree / DATA_YAML).write_text(text, encoding="utf-8")
    _write_report(tree / REPORT, content.rejected)


def data_yaml_text(target: Path, splits: Collection[str], names: Sequence[str], ground_truths: Collection[str]) -> str:
    """Return the text of data.yaml.

    `path` is absolute, since Ultralytics looks for a relative one in its own data set folder.

    Args:
        target: the folder of the data set.
        splits: the names of its splits.
        names: the class names by class index.
        ground_truths: the splits for which the key `annotations` names a COCO json.
    """
    data = {
        "path": str(target),
        **{split: f"images/{split}" for split in splits},
        "names": dict(enumerate(names)),
        **({"annotations": {split: f"annotations/{split}.json" for split in ground_truths}} if ground_truths else {}),
    }
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _write_report(file: Path, rejected: Sequence[Rejection]) -> None:
    """Write the table of what is left out."""
    # A file name may hold bytes that are not text: they are escaped.
    with file.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows([getattr(rejection, column) for column in COLUMNS] for rejection in rejected)
