"""Annotations in COCO's format: one JSON for a split -> `Readout`.

Category ids have gaps (COCO's 80 classes have ids up to 90): class indices follow the sorted ids, never id - 1. `area`
is that of the mask, not of the box, so the entries are kept as they are, less the masks themselves; only what is
missing is filled in.
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
    Picture,
    Rejection,
    UnusableError,
    clip,
    normalise,
)
from akyolo.datasets.formats.images import shown_size
from akyolo.datasets.formats.split import CROWD, Readout, add_once, check_unique
from akyolo.errors import DatasetError

LISTS = ("images", "annotations", "categories")


def read_json(file: Path) -> dict[str, Any]:
    """The content of a JSON file in COCO's format, its three lists checked to be lists of mappings.

    Raises:
        DatasetError: it is something else.
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8"), object_hook=_without_masks)
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror or error}", location=str(file)) from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"no JSON: {error}", location=str(file)) from error
    for key in LISTS:
        value = data.get(key) if isinstance(data, dict) else None
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise DatasetError(f"not COCO's format: {key} is no list of mappings", location=str(file))
    return data


def _without_masks(one: dict[str, Any]) -> dict[str, Any]:
    """Boxes are what is trained and scored here; the masks of COCO's training set alone would fill gigabytes."""
    one.pop("segmentation", None)
    return one


def class_names(data: dict[str, Any], location: str) -> dict[Any, str]:
    """Category id -> name, by id.

    Raises:
        DatasetError: ids or names that are missing or stand twice.
    """
    found = [(one.get("id"), one.get("name")) for one in data["categories"]]
    if not all(isinstance(number, int) and isinstance(name, str) and name for number, name in found):
        raise DatasetError("a category without an id or a name", location=location)
    names = dict(sorted(found))
    if not names or len(names) < len(found) or len(set(names.values())) < len(found):
        raise DatasetError("no categories, or two of one id or name", location=location)
    return names


def read_coco(file: Path, find: Callable[[str], Path | None]) -> tuple[Readout, tuple[str, ...]]:
    """Read one JSON file: (what is in it, class names in the order of their ids).

    Args:
        file: the JSON file.
        find: the image behind a `file_name`, if there is one.

    Raises:
        DatasetError: the file as a whole cannot be used. A single bad image or annotation is rejected instead.
    """
    data = read_json(file)
    names = class_names(data, str(file))
    rejected: list[Rejection] = []
    images, odd = _images(data, find, file, rejected)
    boxes: dict[Any, list[Box]] = {number: [] for number in images}
    kept = []
    for position, one in enumerate(data["annotations"]):
        label = f"annotation {one.get('id', position)}"
        try:
            if not isinstance(one.get("image_id"), int) or one["image_id"] not in images:
                raise UnusableError("belongs to no image that can be used")
            if not isinstance(one.get("category_id"), int) or one["category_id"] not in names:
                raise UnusableError(f"category {one.get('category_id')!r} is not in the file's list")
            box = _sides(one)
            _check_evaluated(one)
        except UnusableError as error:
            rejected.append(Rejection(file.name, str(error), label, str(one.get("bbox", ""))))
            continue
        missing = {"id": position + 1, "iscrowd": 0, "area": box[2] * box[3]}
        kept.append(one | {key: value for key, value in missing.items() if one.get(key) is None})
        try:
            corners = _label(box, one, images[one["image_id"]].size)
            add_once(boxes[one["image_id"]], Box(names[one["category_id"]], corners))
        except UnusableError as error:
            rejected.append(Rejection(file.name, str(error), label, str(one["bbox"])))
    if len({one["id"] for one in kept if isinstance(one["id"], int)}) < len(kept):
        kept = [one | {"id": number} for number, one in enumerate(kept, start=1)]
    pictures = tuple(Picture(one.image, one.size, tuple(boxes[number])) for number, one in images.items())
    check_unique(pictures, str(file))
    entries = {one["id"]: one for one in data["images"] if one.get("id") in images}
    truth = data | {"annotations": kept, "images": [_entry(entries[key], one) for key, one in images.items()]}
    remarks = [f"{file.name} says another size of {len(odd)} images (first: {name}); check those boxes" for name in odd]
    return Readout(pictures, truth, tuple(rejected), tuple(remarks[:1])), tuple(names.values())


def _images(
    data: dict[str, Any], find: Callable[[str], Path | None], file: Path, rejected: list[Rejection]
) -> tuple[dict[Any, Picture], list[str]]:
    """The usable images by id, without boxes, and the names of those that have another size than claimed."""
    images: dict[Any, Picture] = {}
    odd: list[str] = []
    twice = [key for key, times in Counter(str(one.get("id")) for one in data["images"]).items() if times > 1]
    if twice:
        raise DatasetError(f"image id {twice[0]} stands twice", location=str(file))
    for one in data["images"]:
        name, claimed = one.get("file_name"), (one.get("width"), one.get("height"))
        try:
            if not isinstance(name, str) or not isinstance(one.get("id"), int):
                raise UnusableError("an image without an id or a file_name")
            image = find(name)
            if image is None:
                raise UnusableError("no such image")
            size = shown_size(image)
        except UnusableError as error:
            rejected.append(Rejection(str(name), str(error)))
            continue
        if claimed not in {(None, None), size}:
            odd.append(name)
        images[one["id"]] = Picture(image, size, ())
    return images, odd


def _sides(one: dict[str, Any]) -> Corners:
    box = one.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(side, int | float) for side in box):
        raise UnusableError("bbox is no list of four numbers")
    if not all(abs(side) < ABSURD for side in box):
        raise UnusableError("bbox holds a number that is not finite, or far too large")
    return box[0], box[1], box[2], box[3]


def _check_evaluated(one: dict[str, Any]) -> None:
    """What no label has, but the evaluation reads."""
    area = one.get("area")
    if area is not None and not (isinstance(area, int | float) and 0 <= area < math.inf):
        raise UnusableError(f"area {area!r} is no area")
    if one.get("iscrowd") not in (None, 0, 1):
        raise UnusableError(f"iscrowd {one['iscrowd']!r} is neither 0 nor 1")


def _label(ltwh_px: Corners, one: dict[str, Any], size: tuple[int, int]) -> Corners:
    left, top, width, height = ltwh_px
    if one.get("iscrowd"):
        raise UnusableError(CROWD)
    if width <= 0 or height <= 0:
        raise UnusableError(DEGENERATE)
    inside = clip((left, top, left + width, top + height), size)
    if inside is None:
        raise UnusableError(f"{OUTSIDE} of {size[0]}x{size[1]} pixels")
    return normalise(inside, size)


def _entry(one: dict[str, Any], picture: Picture) -> dict[str, Any]:
    return one | {"file_name": picture.image.name, "width": picture.size[0], "height": picture.size[1]}
