"""The folder layout that Ultralytics trains from, written all at once or not at all."""

import csv
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from akyolo.datasets.pictures import Picture, Rejection
from akyolo.errors import ConfigError, DatasetError

REPORT = "rejected.csv"
COLUMNS = ("file", "object", "raw_box", "reason")


@dataclass(frozen=True)
class YoloSet:
    """A data set ready to be written: pictures by split, class names by index, and what was left out."""

    splits: Mapping[str, Sequence[Picture]]
    names: tuple[str, ...]
    rejected: tuple[Rejection, ...]

    def summary(self, out: str) -> str:
        """One line with the number of boxes kept and rejected; `out` is the folder as the user wrote it."""
        pictures = [one for split in self.splits.values() for one in split]
        boxes = sum(len(one.boxes) for one in pictures)
        objects = sum(bool(one.object) for one in self.rejected)
        files = len(self.rejected) - objects
        left_out = f" and {files} file{'s' * (files != 1)}" if files else ""
        return f"kept {boxes} boxes in {len(pictures)} images, rejected {objects}{left_out} ({Path(out) / REPORT})"


def check_destination(out: Path, source: Path) -> None:
    """Refuse an `out` that holds something, or lies in `source`, which must not change.

    Raises:
        ConfigError: with the reason.
    """
    target, origin = out.resolve(), source.resolve()
    if target == origin or origin in target.parents:
        raise ConfigError("lies in the source folder, which is never written to", where=str(out))
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError("exists already and is not an empty folder", where=str(out), remedy="Name a new folder.")


def write_yolo(content: YoloSet, out: Path, *, copy: bool = False) -> None:
    """Write images (links unless `copy`), labels, data.yaml and the report, beside `out`, and rename when complete.

    Raises:
        DatasetError: the folder cannot be written; nothing is left behind.
    """
    target = out.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".akyolo-", dir=target.parent) as holder:
            tree = Path(holder) / "tree"  # not the holder itself, which only its owner may enter
            tree.mkdir()
            for split, pictures in content.splits.items():
                _write_split(tree, split, pictures, content.names, copy)
            _write_yaml(tree / "data.yaml", target, content)
            _write_report(tree / REPORT, content.rejected)
            tree.replace(target)
    except OSError as error:
        reason = f"cannot be written: {error.strerror or error}"
        remedy = None if copy else "Where symbolic links are not allowed, --copy copies the images."
        raise DatasetError(reason, where=str(out), remedy=remedy) from error


def _write_split(tree: Path, split: str, pictures: Sequence[Picture], names: Sequence[str], copy: bool) -> None:
    images, labels = tree / "images" / split, tree / "labels" / split
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    index = {name: i for i, name in enumerate(names)}
    for picture in pictures:
        image = images / picture.image.name
        if copy:
            shutil.copyfile(picture.image, image)  # without its permissions: a read-only source gives a usable copy
        else:
            image.symlink_to(picture.image.absolute())
        # all digits of a float, so that reading a label gives back what was computed
        lines = (" ".join(map(str, (index[box.name], *box.cxcywh_norm))) + "\n" for box in picture.boxes)
        (labels / f"{picture.image.stem}.txt").write_text("".join(lines), encoding="utf-8")


def _write_yaml(file: Path, target: Path, content: YoloSet) -> None:
    """`path` is absolute: Ultralytics would look for a relative one in its own data set folder."""
    data = {
        "path": str(target),
        **{split: f"images/{split}" for split in content.splits},
        "names": dict(enumerate(content.names)),
    }
    file.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _write_report(file: Path, rejected: Sequence[Rejection]) -> None:
    # a file name may hold bytes that are no text: shown escaped rather than fatal
    with file.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows([getattr(one, column) for column in COLUMNS] for one in rejected)
