"""How large an image is, and whether it can be trained on, without decoding it where its header says enough."""

import contextlib
import glob
import importlib
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, BinaryIO

from akyolo.datasets.formats.annotations import UnusableError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

# What Ultralytics reads: as file suffixes, and as the readers of PIL that understand them.
IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".dng", ".heic", ".heif", ".jp2", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp"}
)
READERS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "JPEG2000", "AVIF", "HEIF")
UNCHECKED = frozenset({"BMP", "TIFF"})  # of these a half looks whole until it is decoded
SMALLEST_SIDE = 10  # pixels; Ultralytics drops smaller images
MOST_PIXELS = 178_956_970  # PIL, and with it Ultralytics, takes more for an attack
EXIF_ORIENTATION = 0x0112
TURNED = frozenset({5, 6, 7, 8})  # orientations that swap width and height


def shown_size(image: Path) -> tuple[int, int]:
    """Width and height in pixels as Ultralytics will see the image, that is after the EXIF rotation.

    Decoded is only what cannot show its completeness otherwise, such as a JPEG without its end mark.

    Raises:
        UnusableError: the image is broken, of a format or size that Ultralytics refuses.
    """
    try:
        with image.open("rb") as stream:
            opened = _open(stream)
            kind, (width, height) = opened.format or "", opened.size
            _check_size(width, height)
            opened.verify()
            turned = _is_turned(opened)
            if kind in UNCHECKED or (kind in {"JPEG", "MPO"} and not _ends_as_jpeg(stream)):
                _open(stream).load()  # bytes after the picture do no harm, missing ones raise
    except UnusableError:
        raise
    except Exception as error:  # PIL's readers raise whatever a broken file makes them stumble on
        raise UnusableError(f"image cannot be read: {error}") from error
    if not turned:
        return width, height
    return (height, width) if kind in {"JPEG", "MPO", "PNG", "AVIF"} else _decoded_size(image)


def images_below(folder: Path) -> list[Path]:
    """The image files in a folder and all below it, sorted; links are followed, hidden files are none."""
    found = glob.iglob("**/*.*", root_dir=folder, recursive=True)  # noqa: PTH207  which follows no links
    return sorted(folder / name for name in found if PurePath(name).suffix.lower() in IMAGE_SUFFIXES)


def thumbnail(image: Path, side: int) -> "Image":
    """The image as shown, in RGB, its longer side at most `side` pixels.

    Raises:
        UnusableError: it cannot be read.
    """
    from PIL import ImageOps

    try:
        with image.open("rb") as stream:
            opened = _open(stream)
            _check_size(*opened.size)
            opened.draft("RGB", (side, side))
            small = ImageOps.exif_transpose(opened).convert("RGB")
            small.thumbnail((side, side))
            return small
    except UnusableError:
        raise
    except Exception as error:
        raise UnusableError(f"image cannot be read: {error}") from error


def _open(stream: BinaryIO) -> "ImageFile":
    """The image behind the first of the readers that knows its first bytes.

    Not by `Image.open`: Ultralytics replaces that by one which calls pip when an image is not recognised.
    """
    from PIL import Image

    Image.init()
    stream.seek(0)
    start = stream.read(16)
    if start[4:8] == b"ftyp" and "HEIF" not in Image.OPEN:
        with contextlib.suppress(ImportError):
            importlib.import_module("pi_heif").register_heif_opener()
    for kind in READERS:
        reader, accepts = Image.OPEN.get(kind, (None, None))
        if reader and accepts and accepts(start) is True:
            stream.seek(0)
            return reader(stream, "")
    hint = "; for HEIC, install pi-heif" if start[4:8] == b"ftyp" else ""
    raise UnusableError(f"not an image of a format that Ultralytics reads{hint}")


def _check_size(width: int, height: int) -> None:
    if min(width, height) < SMALLEST_SIDE:
        raise UnusableError(f"image of {width}x{height} pixels: Ultralytics needs {SMALLEST_SIDE} on each side")
    if width * height > MOST_PIXELS:
        raise UnusableError(f"image of {width}x{height} pixels: Ultralytics opens {MOST_PIXELS} at most")


def _is_turned(opened: "ImageFile") -> bool:
    """Whether EXIF swaps width and height. Like upstream, damaged EXIF data say nothing."""
    try:
        # of a verified file only what was read already can be asked; TIFF holds that in tags of its own
        tags = opened.tag_v2 if opened.format == "TIFF" else opened.getexif()  # type: ignore[attr-defined]
        return tags.get(EXIF_ORIENTATION) in TURNED
    except Exception:
        return False


def _ends_as_jpeg(stream: BinaryIO) -> bool:
    """Whether the file closes with the JPEG end-of-image mark."""
    stream.seek(-2, 2)
    return stream.read() == b"\xff\xd9"


def _decoded_size(image: Path) -> tuple[int, int]:
    """Width and height after OpenCV's decoding, whose versions differ in which formats they rotate."""
    import cv2
    import numpy as np

    pixels = cv2.imdecode(np.fromfile(image, dtype=np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise UnusableError("image cannot be read: OpenCV does not decode it")
    return pixels.shape[1], pixels.shape[0]
