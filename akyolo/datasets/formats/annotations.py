"""What every annotation format is read into: pictures with labelled boxes, and what had to be left out."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

Corners = tuple[float, float, float, float]

DEGENERATE = "degenerate box: no width or no height"
OUTSIDE = "box lies outside the image"
REPEATED = "the same box of the same class stands there already; a training takes it once"
ABSURD = 1e9  # pixels; a side or a corner beyond is no number of an image's
LEAVES = "the paper's label, which is never clipped, leaves [0, 1]"


@dataclass(frozen=True)
class Box:
    """One labelled box: `cxcywh_norm` is centre and size as fractions of the image's width and height."""

    name: str
    cxcywh_norm: Corners


@dataclass(frozen=True)
class Picture:
    """One image and its boxes; `size` is (width, height) in pixels, as the image is shown. No boxes: background."""

    image: Path
    size: tuple[int, int]
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class Rejection:
    """Something left out: a whole file when `object` is empty, else one object of it.

    `file` is relative to the source folder, `object` names the object in that file, `raw_box` is as written there.
    """

    file: str
    reason: str
    object: str = ""
    raw_box: str = ""


class UnusableError(ValueError):
    """A file, or an object in it, that cannot be used, and why; what reads the data set makes it a `Rejection`."""


def composed(name: str) -> str:
    """A file's name as names are compared: some systems store an accent as a character of its own."""
    return unicodedata.normalize("NFC", name)


def normalise(xyxy_px: Corners, size: tuple[float, float]) -> Corners:
    """Corners in pixels -> centre and size as fractions of `size` (width, height in pixels)."""
    x1, y1, x2, y2 = xyxy_px
    width, height = size
    return (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height


def denormalise(cxcywh_norm: Corners, size: tuple[float, float]) -> Corners:
    """The way back: centre and size as fractions -> corners in pixels (x1, y1, x2, y2)."""
    (cx, cy, w, h), (width, height) = cxcywh_norm, size
    return (cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height


def clip(xyxy_px: Corners, size: tuple[int, int]) -> Corners | None:
    """The part of a box inside the image of `size` (width, height in pixels); None when nothing remains."""
    width, height = size
    x1, y1 = max(xyxy_px[0], 0.0), max(xyxy_px[1], 0.0)
    x2, y2 = min(xyxy_px[2], float(width)), min(xyxy_px[3], float(height))
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None


def summary_of(rejected: Sequence[Rejection], most: int = 3) -> str:
    """The first few rejections in one line, for an error message when no report is written."""
    shown = "; ".join(f"{one.file}: {one.reason}" for one in rejected[:most])
    more = f"; and {len(rejected) - most} more" if len(rejected) > most else ""
    return shown + more
