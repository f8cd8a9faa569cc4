"""The annotations of one split."""

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
    LabelledImage,
    Rejection,
    UnusableError,
)
from akyolo.datasets.formats.images import IMAGE_SUFFIXES
from akyolo.errors import DatasetError

CROWD = "crowd region, not a single object"
DIFFICULT = "difficult object, ignored in the evaluation"
UNSCORED = "score 0, ignored in the evaluation"
REGION = "ignored region"
OTHERS = "category 11, others"
EXPECTED = (CROWD, DIFFICULT, UNSCORED, REGION, OTHERS, DEGENERATE, LEAVES, REPEATED)
"""Reasons for which objects of a published data set have no label. No other reason is accepted there."""


@dataclass(frozen=True)
class SplitAnnotations:
    """Annotations of one split for training and evaluation.

    Attributes:
        images: the images with the boxes that are trained on.
        ground_truth: the content of a COCO instances file; `file_name` is relative to the folder of the split's
            images. Annotations may also have `difficult` and `ignore`; there may be a list `ignored_regions`.
        rejected: what gets no label.
        remarks: sentences for the user.
    """

    images: tuple[LabelledImage, ...]
    ground_truth: dict[str, Any]
    rejected: tuple[Rejection, ...] = ()
    remarks: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """Count what a spec can expect (`spec.COUNTS`)."""
        annotations = self.ground_truth["annotations"]
        return {
            "images": len(self.images),
            "annotations": len(annotations),
            "considered": sum(not entry.get("iscrowd") and not entry.get("ignore") for entry in annotations),
            "boxes": sum(len(image.boxes) for image in self.images),
            "empty": len(self.images) - len({entry["image_id"] for entry in annotations}),
            "degenerate": sum(rejection.reason == DEGENERATE for rejection in self.rejected),
        }

    def select(self, images: Iterable[LabelledImage]) -> "SplitAnnotations":
        """Return the annotations of some images, without rejections."""
        selected = tuple(images)
        names = {labelled.image.name for labelled in selected}
        entries = [entry for entry in self.ground_truth["images"] if entry["file_name"] in names]
        ids = {entry["id"] for entry in entries}
        lists = {
            key: [entry for entry in value if entry["image_id"] in ids]
            for key, value in self.ground_truth.items()
            if key in {"annotations", "ignored_regions"}
        }
        return SplitAnnotations(selected, self.ground_truth | {"images": entries} | lists)

    def dropped(self) -> dict[str, int]:
        """Count the objects without a label by reason."""
        return dict(Counter(rejection.reason for rejection in self.rejected))

    def unexpected(self) -> list[Rejection]:
        """Return rejections that no published set has."""
        return [
            rejection
            for rejection in self.rejected
            if rejection.reason not in EXPECTED and not rejection.reason.startswith(OUTSIDE)
        ]


def add_once(boxes: list[Box], box: Box) -> None:
    """Append a box unless the list has it.

    Ultralytics drops repeated boxes too.

    Raises:
        UnusableError: The box is in the list.
    """
    if box in boxes:
        raise UnusableError(REPEATED)
    boxes.append(box)


def check_unique(images: Iterable[LabelledImage], location: str) -> None:
    """Check that no images share a label file.

    Raises:
        DatasetError: Two do.
    """
    by_stem: dict[str, Path] = {}
    for labelled in images:
        image = labelled.image
        if image.stem in by_stem:
            what = f"{by_stem[image.stem].name} and {image.name} would share one label file"
            raise DatasetError(what, location=location)
        by_stem[image.stem] = image


def files_by_stem(folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> dict[str, Path]:
    """Return the files of a folder by stem, sorted.

    Raises:
        DatasetError: The folder does not exist, or two files share a stem.
    """
    if not folder.is_dir():
        raise DatasetError("no such folder", location=str(folder))
    files: dict[str, Path] = {}
    for file in sorted(folder.iterdir(), key=lambda path: (path.stem, path.suffix)):
        if file.suffix.lower() in suffixes and not file.name.startswith("."):
            if file.stem in files:
                raise DatasetError(f"{files[file.stem].name} and {file.name} share one stem", location=str(folder))
            files[file.stem] = file
    return files


def category_entries(names: Iterable[str]) -> list[dict[str, Any]]:
    """Return COCO's list of categories, numbered from 1.

    Example:
        >>> category_entries(["cat", "dog"])
        [{'id': 1, 'name': 'cat'}, {'id': 2, 'name': 'dog'}]
    """
    return [{"id": number, "name": name} for number, name in enumerate(names, start=1)]


def image_entry(image_id: int, labelled: LabelledImage) -> dict[str, Any]:
    """Return COCO's entry for one image."""
    width, height = labelled.size
    return {"id": image_id, "file_name": labelled.image.name, "width": width, "height": height}


def annotation_entry(
    annotation_id: int, image_id: int, category_id: int, xyxy_px: Corners, **more: int
) -> dict[str, Any]:
    """Return COCO's entry for one box.

    Args:
        annotation_id: the number of the entry.
        image_id: the number of its image.
        category_id: the number of its class.
        xyxy_px: (x1, y1, x2, y2) in pixels.
        **more: further keys.

    Example:
        >>> annotation_entry(1, 7, 2, (10, 20, 30, 60), ignore=1)["bbox"]
        [10, 20, 20, 40]
    """
    x1, y1, x2, y2 = xyxy_px
    sides: Mapping[str, Any] = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
    return {
        "id": annotation_id, "image_id": image_id, "category_id": category_id, **sides, "iscrowd": 0, **more,
    }  # fmt: skip
