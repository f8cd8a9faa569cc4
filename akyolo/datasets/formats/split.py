"""One split as its files say: what is trained on, what is evaluated against, and what was left out of the training."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from akyolo.datasets.formats.annotations import (
    DEGENERATE,
    LEAVES,
    OUTSIDE,
    REPEATED,
    Box,
    Corners,
    Picture,
    Rejection,
    UnusableError,
)
from akyolo.datasets.formats.images import IMAGE_SUFFIXES
from akyolo.errors import DatasetError, did_you_mean

CROWD = "crowd region, which is no single object"
DIFFICULT = "difficult object, ignored in the evaluation"
UNSCORED = "score 0, ignored in the evaluation"
REGION = "ignored region"
OTHERS = "category 11, others"
DROPS = (CROWD, DIFFICULT, UNSCORED, REGION, OTHERS, DEGENERATE, LEAVES, REPEATED)
"""Why an object of a published data set has no label: as it should be. Any other reason is a surprise."""


@dataclass(frozen=True)
class Readout:
    """What the readers hand over.

    `truth` is in the format of COCO's instances files, `file_name` being relative to the folder of the split's images.
    It may have more than COCO knows: `difficult` and `ignore` of an annotation, the list `ignored_regions`.
    """

    pictures: tuple[Picture, ...]
    truth: dict[str, Any]
    rejected: tuple[Rejection, ...] = ()
    remarks: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """All that a spec can expect, see `spec.COUNTS`."""
        annotations = self.truth["annotations"]
        return {
            "images": len(self.pictures),
            "annotations": len(annotations),
            "considered": sum(not one.get("iscrowd") and not one.get("ignore") for one in annotations),
            "boxes": sum(len(one.boxes) for one in self.pictures),
            "empty": len(self.pictures) - len({one["image_id"] for one in annotations}),
            "degenerate": sum(one.reason == DEGENERATE for one in self.rejected),
        }

    def part(self, pictures: Iterable[Picture]) -> "Readout":
        """The same for some of the pictures, without what was left out."""
        chosen = tuple(pictures)
        names = {one.image.name for one in chosen}
        images = [one for one in self.truth["images"] if one["file_name"] in names]
        numbers = {one["id"] for one in images}
        lists = {
            key: [one for one in value if one["image_id"] in numbers]
            for key, value in self.truth.items()
            if key in {"annotations", "ignored_regions"}
        }
        return Readout(chosen, self.truth | {"images": images} | lists)

    def dropped(self) -> dict[str, int]:
        """How many objects have no label, by reason."""
        return dict(Counter(one.reason for one in self.rejected))

    def surprises(self) -> list[Rejection]:
        """What no published data set should make us leave out."""
        return [one for one in self.rejected if one.reason not in DROPS and not one.reason.startswith(OUTSIDE)]


def add_once(boxes: list[Box], box: Box) -> None:
    """Add a label, unless the same is there: Ultralytics would drop it too.

    Raises:
        UnusableError: it is.
    """
    if box in boxes:
        raise UnusableError(REPEATED)
    boxes.append(box)


def check_unique(pictures: Iterable[Picture], location: str) -> None:
    """Refuse two images of one split that would share a label file.

    Raises:
        DatasetError: naming them.
    """
    seen: dict[str, Path] = {}
    for one in pictures:
        if one.image.stem in seen:
            what = f"{seen[one.image.stem].name} and {one.image.name} would share one label file"
            raise DatasetError(what, location=location)
        seen[one.image.stem] = one.image


def by_stem(folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> dict[str, Path]:
    """The files of a folder by their stem, sorted.

    Raises:
        DatasetError: no such folder, or two files that share a stem.
    """
    if not folder.is_dir():
        raise DatasetError("no such folder", location=str(folder))
    files: dict[str, Path] = {}
    for file in sorted(folder.iterdir(), key=lambda one: (one.stem, one.suffix)):
        if file.suffix.lower() in suffixes and not file.name.startswith("."):
            if file.stem in files:
                raise DatasetError(f"{files[file.stem].name} and {file.name} share one stem", location=str(folder))
            files[file.stem] = file
    return files


def check_class(name: str, names: Iterable[str]) -> str | None:
    """What is wrong with a class name, if anything."""
    return None if name in names else f"unknown class {name!r}; {did_you_mean(name, names)}"


def categories(names: Iterable[str]) -> list[dict[str, Any]]:
    """COCO's list of categories, numbered from 1."""
    return [{"id": number, "name": name} for number, name in enumerate(names, start=1)]


def image_entry(number: int, picture: Picture) -> dict[str, Any]:
    """COCO's entry for one image."""
    width, height = picture.size
    return {"id": number, "file_name": picture.image.name, "width": width, "height": height}


def annotation_entry(number: int, image: int, category: int, xyxy_px: Corners, **more: int) -> dict[str, Any]:
    """COCO's entry for one box, given by its corners in pixels (x1, y1, x2, y2)."""
    x1, y1, x2, y2 = xyxy_px
    sides: Mapping[str, Any] = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
    return {"id": number, "image_id": image, "category_id": category, **sides, "iscrowd": 0, **more}
