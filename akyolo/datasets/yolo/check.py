"""Find every fault of a data set.

A fault is what a training would drop or misread.
"""

import math
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from akyolo.datasets.formats.annotations import UnusableError
from akyolo.datasets.formats.images import shown_size
from akyolo.datasets.yolo.data_yaml import DataYaml, label_of

BOX = 5  # numbers in the label row of a box


@dataclass
class SplitCounts:
    """The counts of one split.

    Attributes:
        images: the number of images.
        boxes: the number of boxes by class index.
        backgrounds: the number of images with an empty label file.
    """

    images: int = 0
    boxes: Counter[int] = field(default_factory=Counter)
    backgrounds: int = 0


def findings(data: DataYaml, counts: dict[str, SplitCounts]) -> Iterator[str]:
    """Yield one line for each fault.

    Args:
        data: the data set.
        counts: it is filled with the counts by split.
    """
    image_of: dict[Path, Path] = {}
    for split, images in data.images.items():
        split_counts = counts.setdefault(split, SplitCounts())
        for image in images:
            split_counts.images += 1
            try:
                shown_size(image)
            except UnusableError as error:
                yield f"{image}: {error}"
            label = label_of(image)
            if (other := image_of.setdefault(label, image)) != image:
                yield f"{image}: shares its label file with {other}"
            elif not label.is_file():
                yield f"{image}: no label file {label}; an image without objects needs an empty one"
            else:
                yield from _label_faults(label, data, split_counts)
        yield from _without_image(images, image_of)


def _without_image(images: list[Path], image_of: dict[Path, Path]) -> Iterator[str]:
    """Yield the label files without an image.

    Only folders that hold labels and no images are searched.
    """
    folders = {label_of(image).parent for image in images} - {image.parent for image in images}
    for folder in sorted(folders):
        for label in sorted(folder.glob("*.txt")):
            if label not in image_of:
                yield f"{label}: no image belongs to it"


def _label_faults(label: Path, data: DataYaml, counts: SplitCounts) -> Iterator[str]:
    """Yield the faults of one label file."""
    try:
        rows = label.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        yield f"{label}: cannot be read: {error}"
        return
    first_rows: dict[tuple[float, ...], int] = {}
    length = 0
    for number, row in enumerate(rows, start=1):
        words = tuple(row.split())
        if not words:
            continue
        length = length or len(words)  # the number of words in the first row
        if fault := _fault(words, data.keypoints, len(data.names)):
            yield f"{label}:{number}: {fault}"
        elif (length == BOX) != (len(words) == BOX):
            yield f"{label}:{number}: a box and a polygon in one file, of which a training takes one kind"
        elif (other := first_rows.setdefault(_numbers(words), number)) != number:
            yield f"{label}:{number}: the same as row {other}"
        else:
            counts.boxes[int(float(words[0]))] += 1
    counts.backgrounds += not any(row.strip() for row in rows)


def _fault(words: tuple[str, ...], keypoints: int, classes: int) -> str:
    """Return the fault of a label row, or "".

    A row is a class, then centre and size as fractions, for a pose also keypoints; or a class and the corners of a
    polygon.
    """
    try:
        class_id, *numbers = map(float, words)
    except ValueError:
        return f"{_quoted(words)} holds something that is not a number"
    numbers, points = (numbers[:4], numbers[4:]) if len(words) == BOX + keypoints else (numbers, [])
    outside = next((position for position, number in enumerate(numbers, start=1) if not 0 <= number <= 1), 0)
    if len(numbers) != 4 and (len(numbers) < 6 or len(numbers) % 2):
        fault = f"{len(words)} numbers: a box has 5, a polygon 7 or more, an odd number"
    elif not all(map(math.isfinite, (class_id, *numbers, *points))):
        fault = f"{_quoted(words)} holds a number that is not finite"
    elif class_id != int(class_id) or not 0 <= class_id < classes:
        fault = f"class {words[0]} is not one of 0 to {classes - 1}"
    elif outside:
        fault = f"number {outside + 1}, {words[outside]}, is {'negative' if numbers[outside - 1] < 0 else 'above 1'}"
    else:
        fault = "" if _area(numbers) > 0 else f"{_quoted(words)} has no area"
    return fault


def _numbers(words: tuple[str, ...]) -> tuple[float, ...]:
    """Return the numbers in 32 bits."""
    return tuple(array("f", map(float, words)))


def _area(numbers: list[float]) -> float:
    """Return the area of a box or around a polygon."""
    if len(numbers) == 4:
        return numbers[2] * numbers[3]
    return (max(numbers[0::2]) - min(numbers[0::2])) * (max(numbers[1::2]) - min(numbers[1::2]))


def _quoted(words: tuple[str, ...]) -> str:
    """Return a row in quotes, cut to 60 characters."""
    text = " ".join(words)
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
