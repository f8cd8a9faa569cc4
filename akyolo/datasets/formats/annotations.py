"""Labelled images, boxes and rejections."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

Corners = tuple[float, float, float, float]

DEGENERATE = "degenerate box: no width or no height"
OUTSIDE = "box lies outside the image"
REPEATED = "repeats a box of the same class in the same image"
ABSURD = 1e9  # pixels; no side or corner of a box in an image is as large
LEAVES = "the paper's label, which is never clipped, leaves [0, 1]"


@dataclass(frozen=True)
class Box:
    """One labelled box of an image.

    Attributes:
        name: the class name.
        cxcywh_norm: centre and size as fractions of the image's width and height.
    """

    name: str
    cxcywh_norm: Corners


@dataclass(frozen=True)
class LabelledImage:
    """One image and its boxes.

    Attributes:
        image: the image file.
        size: (width, height) in pixels, after the EXIF rotation.
        boxes: what is trained on.
    """

    image: Path
    size: tuple[int, int]
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class Rejection:
    """An object or file that is left out.

    Attributes:
        file: the file, relative to the source folder.
        reason: why it is left out.
        object: the name of the object in that file; empty if the whole file is left out.
        raw_box: the box as written in the file.
    """

    file: str
    reason: str
    object: str = ""
    raw_box: str = ""


class UnusableError(ValueError):
    """A file or an object that cannot be used, and why.

    The readers turn it into a `Rejection`.
    """


def composed(name: str) -> str:
    """Return a name in composed Unicode.

    Some systems store an accent as a character of its own.
    """
    return unicodedata.normalize("NFC", name)


def normalise(xyxy_px: Corners, size: tuple[float, float]) -> Corners:
    """Convert pixel corners to centre and size.

    Args:
        xyxy_px: (x1, y1, x2, y2) in pixels.
        size: (width, height) of the image in pixels.

    Example:
        >>> normalise((10, 20, 30, 60), (100, 80))
        (0.2, 0.5, 0.2, 0.5)
    """
    x1, y1, x2, y2 = xyxy_px
    width, height = size
    return (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height


def denormalise(cxcywh_norm: Corners, size: tuple[float, float]) -> Corners:
    """Convert centre and size to pixel corners.

    Example:
        >>> denormalise((0.25, 0.5, 0.25, 0.5), (100, 80))
        (12.5, 20.0, 37.5, 60.0)
    """
    (cx, cy, w, h), (width, height) = cxcywh_norm, size
    return (cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height


def clip(xyxy_px: Corners, size: tuple[int, int]) -> Corners | None:
    """Return the part of a box inside the image, or None.

    Args:
        xyxy_px: (x1, y1, x2, y2) in pixels.
        size: (width, height) of the image in pixels.

    Example:
        >>> clip((-5, 10, 40, 90), (100, 80))
        (0.0, 10, 40, 80.0)
        >>> clip((100, 10, 120, 20), (100, 80)) is None
        True
    """
    width, height = size
    x1, y1 = max(xyxy_px[0], 0.0), max(xyxy_px[1], 0.0)
    x2, y2 = min(xyxy_px[2], float(width)), min(xyxy_px[3], float(height))
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None


def summary_of(rejected: Sequence[Rejection], most: int = 3) -> str:
    """Summarise rejections in one line."""
    shown = "; ".join(f"{rejection.file}: {rejection.reason}" for rejection in rejected[:most])
    more = f"; and {len(rejected) - most} more" if len(rejected) > most else ""
    return shown + more
