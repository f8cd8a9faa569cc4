"""Parse Pascal VOC annotations and convert boxes.

VOC counts pixels from 1 and includes the last one, so the box written (xmin, ymin, xmax, ymax) covers
[xmin - 1, ymin - 1, xmax, ymax] in the usual coordinates. `<filename>` and `<size>` are often wrong: the stem of the
file gives the image, and the image file gives the size.
"""

import math
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Literal

from akyolo.datasets.formats.annotations import (
    DEGENERATE,
    LEAVES,
    OUTSIDE,
    Corners,
    UnusableError,
    clip,
    denormalise,
    normalise,
)

BoxRule = Literal["exact", "paper"]
SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocObject:
    """One `<object>` as written.

    Attributes:
        label: its name in reports.
        name: the class name.
        raw_box: the texts of the four sides.
        difficult: whether it is marked difficult.
        xyxy_voc: corners in 1-based, inclusive pixels; None if and only if there is a fault.
        fault: what is missing.
    """

    label: str
    name: str
    raw_box: str
    difficult: bool
    xyxy_voc: Corners | None
    fault: str = ""


@dataclass(frozen=True)
class VocAnnotation:
    """The content of one annotation file.

    Attributes:
        size: (width, height) in pixels as `<size>` says; None if it is missing or unusable.
        objects: the objects in the order of the file.
    """

    size: tuple[int, int] | None
    objects: tuple[VocObject, ...]


class _NoDoctype(ET.TreeBuilder):
    """Refuse a document type declaration before an entity in it is expanded."""

    def doctype(self, _name: str, _public: str | None, _system: str | None) -> None:
        """Refuse the declaration."""
        raise UnusableError("XML with a DOCTYPE is not read: its entities could fill the memory")


def parse_annotation(xml: bytes) -> VocAnnotation:
    """Parse one annotation file.

    Raises:
        UnusableError: It is not XML, or not a VOC annotation.
    """
    try:
        root = ET.fromstring(xml, ET.XMLParser(target=_NoDoctype()))
    except UnusableError:
        raise
    # LookupError and ValueError: encodings that expat does not have.
    except (ET.ParseError, ValueError, LookupError) as error:
        raise UnusableError(f"XML cannot be parsed: {error}") from error
    if root.tag != "annotation":
        raise UnusableError(f"not a VOC annotation: the root element is <{root.tag}>, not <annotation>")
    # Only direct children: the <part>s of a person have boxes of their own.
    objects = (_parse_object(node, number) for number, node in enumerate(root.findall("object"), start=1))
    return VocAnnotation(_parse_size(root), tuple(objects))


def _text(node: ET.Element, path: str) -> str:
    """Return the text of a child element."""
    return (node.findtext(path) or "").strip()


def _parse_size(root: ET.Element) -> tuple[int, int] | None:
    """Return the stated size, if it is usable."""
    try:
        width, height = int(_text(root, "size/width")), int(_text(root, "size/height"))
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None


def _parse_object(node: ET.Element, number: int) -> VocObject:
    """Parse one `<object>`."""
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
    """Return whether the numbers as written span nothing.

    Call it before `exact_corners`, which would make such a box one pixel wide.

    Example:
        >>> is_degenerate((5, 5, 5, 9))
        True
    """
    x1, y1, x2, y2 = xyxy_voc
    return x2 <= x1 or y2 <= y1


def exact_corners(xyxy_voc: Corners) -> Corners:
    """Convert 1-based, inclusive pixels to box edges.

    Returns:
        (x1, y1, x2, y2) in pixels, counted from 0.

    Example:
        >>> exact_corners((1, 1, 100, 80))
        (0, 0, 100, 80)
    """
    x1, y1, x2, y2 = xyxy_voc
    return x1 - 1, y1 - 1, x2, y2


def paper_label(xyxy_voc: Corners, size: tuple[int, int]) -> Corners:
    """Return the label that YOLOv5's VOC script computes.

    It is shifted by half a pixel and one pixel too small.

    Args:
        xyxy_voc: corners as written, in pixels.
        size: (width, height) in pixels as `<size>` says.

    Returns:
        Centre and size as fractions. They are multiplied by the reciprocal, as in that script, so that even the last
        bit is the same.
    """
    x1, y1, x2, y2 = xyxy_voc
    per_width, per_height = 1.0 / size[0], 1.0 / size[1]
    centre_x, centre_y = (x1 + x2) / 2.0 - 1, (y1 + y2) / 2.0 - 1
    return centre_x * per_width, centre_y * per_height, (x2 - x1) * per_width, (y2 - y1) * per_height


def convert_box(
    xyxy_voc: Corners, size: tuple[int, int], paper_size: tuple[int, int] | None
) -> tuple[Corners, Corners]:
    """Convert a box as written to pixels and to a label.

    Args:
        xyxy_voc: corners as written, in pixels.
        size: (width, height) of the image in pixels.
        paper_size: the size that `<size>` states, for the paper's rule; None for the exact one.

    Returns:
        (x1, y1, x2, y2) in pixels of the image, and centre and size as fractions.

    Raises:
        UnusableError: The box is degenerate, or no part of it lies inside the image.
    """
    if is_degenerate(xyxy_voc):
        raise UnusableError(DEGENERATE)
    if paper_size is None:
        inside = clip(exact_corners(xyxy_voc), size)
        if inside is None:
            raise UnusableError(f"{OUTSIDE} of {size[0]}x{size[1]} pixels")
        return inside, normalise(inside, size)
    label = paper_label(xyxy_voc, paper_size)
    if not all(0 <= number <= 1 for number in label):  # Ultralytics would drop the whole image for it.
        raise UnusableError(LEAVES)
    return denormalise(label, size), label
