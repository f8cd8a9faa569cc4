"""Pascal VOC annotations: one XML per image -> a `Picture`.

VOC counts pixels from 1 and includes the last one, so the box written (xmin, ymin, xmax, ymax) covers
[xmin - 1, ymin - 1, xmax, ymax] in the usual coordinates. `<filename>` and `<size>` are often wrong; the file's stem
says which image is meant, and the image says how large it is.
"""

import math
import xml.etree.ElementTree as ET
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from akyolo.datasets.formats.annotations import (
    DEGENERATE,
    LEAVES,
    OUTSIDE,
    Box,
    Corners,
    Picture,
    Rejection,
    UnusableError,
    clip,
    denormalise,
    normalise,
)
from akyolo.datasets.formats.images import shown_size

BoxRule = Literal["exact", "paper"]
SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocObject:
    """One `<object>` as written: `label` names it in reports, `raw_box` holds the four texts, `fault` what is missing.

    `xyxy_voc` is in 1-based, inclusive pixels and None exactly when there is a fault.
    """

    label: str
    name: str
    raw_box: str
    difficult: bool
    xyxy_voc: Corners | None
    fault: str = ""


@dataclass(frozen=True)
class Annotation:
    """One annotation file: its objects, and the `<size>` it claims (width, height in pixels) if it does."""

    size: tuple[int, int] | None
    objects: tuple[VocObject, ...]


@dataclass(frozen=True)
class Reading:
    """A picture together with what was left out of it, and what the user may want to look at."""

    picture: Picture
    rejected: tuple[Rejection, ...] = ()
    clipped: int = 0
    odd_size: bool = False
    names: frozenset[str] = field(default_factory=frozenset)


class _NoDoctype(ET.TreeBuilder):
    """Refuses a document type declaration as it opens, before any entity in it can grow."""

    def doctype(self, _name: str, _public: str | None, _system: str | None) -> None:
        raise UnusableError("XML with a DOCTYPE is not read: its entities could be made to fill the memory")


def parse_annotation(xml: bytes) -> Annotation:
    """Read one annotation file.

    Raises:
        UnusableError: not XML, or not a VOC annotation.
    """
    try:
        root = ET.fromstring(xml, ET.XMLParser(target=_NoDoctype()))
    except UnusableError:
        raise
    except (ET.ParseError, ValueError, LookupError) as error:  # LookupError, ValueError: encodings expat lacks
        raise UnusableError(f"XML cannot be parsed: {error}") from error
    if root.tag != "annotation":
        raise UnusableError(f"not a VOC annotation: the root element is <{root.tag}>, not <annotation>")
    # direct children only: a person's <part>s carry boxes of their own
    objects = (_parse_object(node, number) for number, node in enumerate(root.findall("object"), start=1))
    return Annotation(_parse_size(root), tuple(objects))


def _text(node: ET.Element, path: str) -> str:
    return (node.findtext(path) or "").strip()


def _parse_size(root: ET.Element) -> tuple[int, int] | None:
    try:
        width, height = int(_text(root, "size/width")), int(_text(root, "size/height"))
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None


def _parse_object(node: ET.Element, number: int) -> VocObject:
    name = _text(node, "name")
    sides = [_text(node, f"bndbox/{side}") for side in SIDES]
    label, raw_box = f"{number} {name}".strip(), " ".join(sides).strip()
    difficult = _text(node, "difficult") == "1"

    def faulty(fault: str) -> VocObject:
        return VocObject(label, name, raw_box, difficult, None, fault)

    if not name:
        return faulty("object without <name>")
    if node.find("bndbox") is None:
        return faulty("object without <bndbox>")
    missing = [f"<{side}>" for side, text in zip(SIDES, sides, strict=True) if not text]
    if missing:
        return faulty(f"<bndbox> without {', '.join(missing)}")
    try:
        x1, y1, x2, y2 = (float(text) for text in sides)
    except ValueError:
        return faulty("<bndbox> holds something that is not a number")
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        return faulty("<bndbox> holds a number that is not finite")
    return VocObject(label, name, raw_box, difficult, (x1, y1, x2, y2))


def is_degenerate(xyxy_voc: Corners) -> bool:
    """Whether the numbers as written span nothing. Asked before `exact_corners`, which would make them a pixel wide."""
    x1, y1, x2, y2 = xyxy_voc
    return x2 <= x1 or y2 <= y1


def exact_corners(xyxy_voc: Corners) -> Corners:
    """1-based, inclusive pixels -> the edges of the same box, 0-based, in pixels (x1, y1, x2, y2)."""
    x1, y1, x2, y2 = xyxy_voc
    return x1 - 1, y1 - 1, x2, y2


def paper_label(xyxy_voc: Corners, size: tuple[int, int]) -> Corners:
    """The label that YOLOv5's VOC script computes: half a pixel off and one pixel small.

    Args:
        xyxy_voc: corners as written, in pixels.
        size: width and height in pixels, as `<size>` claims them.

    Returns:
        Centre and size as fractions. Multiplied by the reciprocal, as there, so that even the last bit agrees.
    """
    x1, y1, x2, y2 = xyxy_voc
    per_width, per_height = 1.0 / size[0], 1.0 / size[1]
    centre_x, centre_y = (x1 + x2) / 2.0 - 1, (y1 + y2) / 2.0 - 1
    return centre_x * per_width, centre_y * per_height, (x2 - x1) * per_width, (y2 - y1) * per_height


def read_picture(image: Path, xml: Path, file: str, rule: BoxRule, wanted: Collection[str] | None = None) -> Reading:
    """Read one image and its annotation.

    Args:
        image: the image file.
        xml: its annotation.
        file: how reports name the annotation.
        rule: `exact` boxes, or those of the `paper`: YOLOv5's, without the objects marked difficult.
        wanted: the classes to keep; None for all.

    Raises:
        UnusableError: the image or the annotation as a whole cannot be used.
    """
    try:
        annotation = parse_annotation(xml.read_bytes())
    except OSError as error:
        raise UnusableError(f"annotation cannot be read: {error.strerror}") from error
    size = shown_size(image)
    if rule == "paper" and annotation.size is None:
        raise UnusableError("no usable <size>, by which the paper's boxes are divided")
    boxes: list[Box] = []
    rejected: list[Rejection] = []
    clipped = 0
    for one in annotation.objects:
        try:
            label, was_clipped = _label(one, size, annotation.size if rule == "paper" else None, wanted)
        except UnusableError as error:
            rejected.append(Rejection(file, str(error), one.label, one.raw_box))
            continue
        clipped += was_clipped
        boxes.append(Box(one.name, label))
    names = frozenset(one.name for one in annotation.objects if one.name)
    odd_size = annotation.size not in (None, size)
    return Reading(Picture(image, size, tuple(boxes)), tuple(rejected), clipped, odd_size, names)


def _label(
    one: VocObject, size: tuple[int, int], paper_size: tuple[int, int] | None, wanted: Collection[str] | None
) -> tuple[Corners, bool]:
    """The normalised label of one object and whether it had to be clipped; `paper_size` asks for the paper's rule."""
    if wanted is not None and one.xyxy_voc is not None and one.name not in wanted:
        raise UnusableError(f"class {one.name!r} is not among the names asked for")
    corners, label = place(one, size, paper_size)
    if paper_size is None:
        return label, one.xyxy_voc is not None and corners != exact_corners(one.xyxy_voc)
    if one.difficult:
        raise UnusableError("difficult object, which the paper's labels leave out")
    return label, False


def place(one: VocObject, size: tuple[int, int], paper_size: tuple[int, int] | None) -> tuple[Corners, Corners]:
    """One object as corners in pixels of the image (x1, y1, x2, y2) and as a normalised label.

    Args:
        one: the object.
        size: width and height of the image in pixels.
        paper_size: asks for the paper's rule: what `<size>` claims.

    Raises:
        UnusableError: it has no box, or none inside the image.
    """
    if one.xyxy_voc is None:
        raise UnusableError(one.fault)
    if is_degenerate(one.xyxy_voc):
        raise UnusableError(DEGENERATE)
    if paper_size is None:
        inside = clip(exact_corners(one.xyxy_voc), size)
        if inside is None:
            raise UnusableError(f"{OUTSIDE} of {size[0]}x{size[1]} pixels")
        return inside, normalise(inside, size)
    label = paper_label(one.xyxy_voc, paper_size)
    if not all(0 <= number <= 1 for number in label):  # Ultralytics would drop the whole image for it
        raise UnusableError(LEAVES)
    return denormalise(label, size), label
