"""Read annotations in COCO's format.

There is one JSON file for a split.

Category ids have gaps (COCO's 80 classes have ids up to 90): class indices follow the sorted ids, never id - 1. `area`
is the area of the mask, not of the box. So the entries are kept as they are, without the masks; only missing keys are
filled in.
"""

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from akyolo.datasets.formats.annotations import (
    ABSURD,
    DEGENERATE,
    OUTSIDE,
    Box,
    Corners,
    LabelledImage,
    Rejection,
    UnusableError,
    clip,
    normalise,
)
from akyolo.datasets.formats.images import shown_size
from akyolo.datasets.formats.split import CROWD, SplitAnnotations, add_once, check_unique
from akyolo.errors import DatasetError

LISTS = ("images", "annotations", "categories")
FindImage = Callable[[str], Path | None]  # the image of a `file_name`, if it exists


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON file in COCO's format.

    Raises:
        DatasetError: The file cannot be read, or a list is missing.
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8"), object_hook=_without_masks)
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror or error}", location=str(file)) from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"is not JSON: {error}", location=str(file)) from error
    for key in LISTS:
        value = data.get(key) if isinstance(data, dict) else None
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise DatasetError(f"not COCO's format: {key} is not a list of mappings", location=str(file))
    return data


def _without_masks(entry: dict[str, Any]) -> dict[str, Any]:
    """Remove the mask, since COCO's fill gigabytes."""
    entry.pop("segmentation", None)
    return entry


def class_names(data: dict[str, Any], location: str) -> dict[Any, str]:
    """Return class names by category id, sorted.

    Raises:
        DatasetError: An id or a name is missing or is there twice.
    """
    pairs = [(category.get("id"), category.get("name")) for category in data["categories"]]
    if not all(isinstance(category_id, int) and isinstance(name, str) and name for category_id, name in pairs):
        raise DatasetError("a category without an id or a name", location=location)
    names = dict(sorted(pairs))
    if not names or len(names) < len(pairs) or len(set(names.values())) < len(pairs):
        raise DatasetError("no categories, or two with the same id or name", location=location)
    return names


def read_coco(file: Path, find_image: FindImage) -> tuple[SplitAnnotations, tuple[str, ...]]:
    """Read the JSON file of one split.

    Args:
        file: the JSON file.
        find_image: returns the image of a `file_name`, or None.

    Returns:
        The annotations, and the class names in the order of their ids.

    Raises:
        DatasetError: The file as a whole cannot be used. A single bad image or annotation is rejected instead.
    """
    data = read_json(file)
    names = class_names(data, str(file))
    rejected: list[Rejection] = []
    images, other_sizes = _images(data, find_image, file, rejected)
    boxes: dict[Any, list[Box]] = {image_id: [] for image_id in images}
    kept = []
    for position, entry in enumerate(data["annotations"]):
        label = f"annotation {entry.get('id', position)}"
        try:
            sides = _check_entry(entry, images, names)
        except UnusableError as error:
            rejected.append(Rejection(file.name, str(error), label, str(entry.get("bbox", ""))))
            continue
        defaults = {"id": position + 1, "iscrowd": 0, "area": sides[2] * sides[3]}
        kept.append(entry | {key: value for key, value in defaults.items() if entry.get(key) is None})
        try:
            cxcywh_norm = _label(sides, entry, images[entry["image_id"]].size)
            add_once(boxes[entry["image_id"]], Box(names[entry["category_id"]], cxcywh_norm))
        except UnusableError as error:
            rejected.append(Rejection(file.name, str(error), label, str(entry["bbox"])))
    if len({entry["id"] for entry in kept if isinstance(entry["id"], int)}) < len(kept):
        kept = [entry | {"id": number} for number, entry in enumerate(kept, start=1)]
    labelled = tuple(LabelledImage(image.image, image.size, tuple(boxes[key])) for key, image in images.items())
    check_unique(labelled, str(file))
    entries = {entry["id"]: entry for entry in data["images"] if entry.get("id") in images}
    image_entries = [_image_entry(entries[key], image) for key, image in images.items()]
    remarks = [
        f"{file.name} states another size for {len(other_sizes)} images (first: {name}); check those boxes"
        for name in other_sizes[:1]
    ]
    ground_truth = data | {"annotations": kept, "images": image_entries}
    return SplitAnnotations(labelled, ground_truth, tuple(rejected), tuple(remarks)), tuple(names.values())


def _images(
    data: dict[str, Any], find_image: FindImage, file: Path, rejected: list[Rejection]
) -> tuple[dict[Any, LabelledImage], list[str]]:
    """Return the usable images by id, and those with another size.

    The second value holds the names of images whose size is not the stated one. The images have no boxes yet. What
    is left out is added to `rejected`.
    """
    images: dict[Any, LabelledImage] = {}
    other_sizes: list[str] = []
    counted = Counter(str(entry.get("id")) for entry in data["images"])
    if repeated := [image_id for image_id, times in counted.items() if times > 1]:
        raise DatasetError(f"image id {repeated[0]} is there twice", location=str(file))
    for entry in data["images"]:
        name, stated = entry.get("file_name"), (entry.get("width"), entry.get("height"))
        try:
            if not isinstance(name, str) or not isinstance(entry.get("id"), int):
                raise UnusableError("an image without an id or a file_name")
            image = find_image(name)
            if image is None:
                raise UnusableError("no such image")
            size = shown_size(image)
        except UnusableError as error:
            rejected.append(Rejection(str(name), str(error)))
            continue
        if stated not in {(None, None), size}:
            other_sizes.append(name)
        images[entry["id"]] = LabelledImage(image, size, ())
    return images, other_sizes


def _check_entry(entry: dict[str, Any], images: dict[Any, LabelledImage], names: dict[Any, str]) -> Corners:
    """Return (left, top, width, height) of a valid annotation."""
    if not isinstance(entry.get("image_id"), int) or entry["image_id"] not in images:
        raise UnusableError("belongs to no image that can be used")
    if not isinstance(entry.get("category_id"), int) or entry["category_id"] not in names:
        raise UnusableError(f"category {entry.get('category_id')!r} is not in the file's list")
    sides = entry.get("bbox")
    if not isinstance(sides, list) or len(sides) != 4 or not all(isinstance(side, int | float) for side in sides):
        raise UnusableError("bbox is not a list of four numbers")
    if not all(abs(side) < ABSURD for side in sides):
        raise UnusableError("bbox holds a number that is not finite, or far too large")
    area = entry.get("area")
    if area is not None and not (isinstance(area, int | float) and 0 <= area < math.inf):
        raise UnusableError(f"area {area!r} is not an area")
    if entry.get("iscrowd") not in (None, 0, 1):
        raise UnusableError(f"iscrowd {entry['iscrowd']!r} is neither 0 nor 1")
    return sides[0], sides[1], sides[2], sides[3]


def _label(ltwh_px: Corners, entry: dict[str, Any], size: tuple[int, int]) -> Corners:
    """Return the label as fractions; raise if there is none."""
    left, top, width, height = ltwh_px
    if entry.get("iscrowd"):
        raise UnusableError(CROWD)
    if width <= 0 or height <= 0:
        raise UnusableError(DEGENERATE)
    inside = clip((left, top, left + width, top + height), size)
    if inside is None:
        raise UnusableError(f"{OUTSIDE} of {size[0]}x{size[1]} pixels")
    return normalise(inside, size)


def _image_entry(entry: dict[str, Any], labelled: LabelledImage) -> dict[str, Any]:
    """Return an entry with real name and size."""
    width, height = labelled.size
    return entry | {"file_name": labelled.image.name, "width": width, "height": height}
