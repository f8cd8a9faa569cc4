"""Every reason why a training on a data set would drop, or misread, something of it: by file and line."""

import math
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from akyolo.datasets.formats.annotations import UnusableError
from akyolo.datasets.formats.images import shown_size
from akyolo.datasets.yolo.data_yaml import DataYaml, label_of

BOX = 5  # numbers in the row of one


@dataclass
class SplitCounts:
    """Of one split: images, boxes by class index, and images with an empty label file."""

    images: int = 0
    boxes: Counter[int] = field(default_factory=Counter)
    backgrounds: int = 0


def findings(data: DataYaml, counts: dict[str, SplitCounts]) -> Iterator[str]:
    """One line for each fault; `counts` is filled on the way."""
    seen: dict[Path, Path] = {}
    for split, images in data.images.items():
        here = counts.setdefault(split, SplitCounts())
        for image in images:
            here.images += 1
            try:
                shown_size(image)
            except UnusableError as error:
                yield f"{image}: {error}"
            label = label_of(image)
            if (other := seen.setdefault(label, image)) != image:
                yield f"{image}: shares its label file with {other}"
            elif not label.is_file():
                yield f"{image}: no label file {label}; an image without objects needs an empty one"
            else:
                yield from _of_labels(label, data, here)
        yield from _lonely(images, seen)


def _lonely(images: list[Path], seen: dict[Path, Path]) -> Iterator[str]:
    """Label files without an image, where the images have a folder of labels beside theirs."""
    folders = {label_of(image).parent for image in images} - {image.parent for image in images}
    for folder in sorted(folders):
        for label in sorted(folder.glob("*.txt")):
            if label not in seen:
                yield f"{label}: no image belongs to it"


def _of_labels(label: Path, data: DataYaml, counts: SplitCounts) -> Iterator[str]:
    try:
        rows = label.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        yield f"{label}: cannot be read: {error}"
        return
    first: dict[tuple[float, ...], int] = {}
    length = 0
    for number, row in enumerate(rows, start=1):
        words = tuple(row.split())
        if not words:
            continue
        length = length or len(words)  # of the first row
        if fault := _fault(words, data.keypoints, len(data.names)):
            yield f"{label}:{number}: {fault}"
        elif (length == BOX) != (len(words) == BOX):
            yield f"{label}:{number}: a box and a polygon in one file, of which a training takes one kind"
        elif (other := first.setdefault(_read(words), number)) != number:
            yield f"{label}:{number}: the same as row {other}"
        else:
            counts.boxes[int(float(words[0]))] += 1
    counts.backgrounds += not any(row.strip() for row in rows)


def _fault(words: tuple[str, ...], keypoints: int, classes: int) -> str:
    """What is wrong with one row: class, then centre and size, of a pose more, or a polygon's corners, as fractions."""
    try:
        kind, *numbers = map(float, words)
    except ValueError:
        return f"{_quoted(words)} holds something that is no number"
    numbers, points = (numbers[:4], numbers[4:]) if len(words) == BOX + keypoints else (numbers, [])
    outside = next((place for place, number in enumerate(numbers, start=1) if not 0 <= number <= 1), 0)
    if len(numbers) != 4 and (len(numbers) < 6 or len(numbers) % 2):
        fault = f"{len(words)} numbers: a box has 5, a polygon 7 or more, an odd number"
    elif not all(map(math.isfinite, (kind, *numbers, *points))):
        fault = f"{_quoted(words)} holds a number that is not finite"
    elif kind != int(kind) or not 0 <= kind < classes:
        fault = f"class {words[0]} is none of 0 to {classes - 1}"
    elif outside:
        fault = f"number {outside + 1}, {words[outside]}, is {'negative' if numbers[outside - 1] < 0 else 'above 1'}"
    else:
        fault = "" if _area(numbers) > 0 else f"{_quoted(words)} has no area"
    return fault


def _read(words: tuple[str, ...]) -> tuple[float, ...]:
    """The numbers as a training reads them: in 32 bits, however they are written."""
    return tuple(array("f", map(float, words)))


def _area(numbers: list[float]) -> float:
    if len(numbers) == 4:
        return numbers[2] * numbers[3]
    return (max(numbers[0::2]) - min(numbers[0::2])) * (max(numbers[1::2]) - min(numbers[1::2]))


def _quoted(words: tuple[str, ...]) -> str:
    text = " ".join(words)
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
