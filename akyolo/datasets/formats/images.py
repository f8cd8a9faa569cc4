"""Check images and measure their sizes.

An image is decoded only if its header does not say enough.
"""

import contextlib
import glob
import importlib
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, BinaryIO

from akyolo.datasets.formats.annotations import UnusableError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

# The file suffixes that Ultralytics reads, and the readers of PIL for them.
IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".dng", ".heic", ".heif", ".jp2", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp"}
)
READERS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "JPEG2000", "AVIF", "HEIF")
UNCHECKED = frozenset({"BMP", "TIFF"})  # a truncated file of these formats is noticed only when it is decoded
SMALLEST_SIDE = 10  # pixels; Ultralytics drops smaller images
MOST_PIXELS = 178_956_970  # the limit of PIL, and so of Ultralytics, against decompression bombs
EXIF_ORIENTATION = 0x0112
TURNED = frozenset({5, 6, 7, 8})  # orientations that swap width and height


def shown_size(image: Path) -> tuple[int, int]:
    """Return width and height after EXIF rotation.

    This is the size that Ultralytics sees. An image is decoded only if nothing else shows that it is complete, such as
    a JPEG without its end mark.

    Raises:
        UnusableError: The image is broken, or of a format or size that Ultralytics refuses.
    """
    try:
        with image.open("rb") as stream:
            opened = _open(stream)
            image_format, (width, height) = opened.format or "", opened.size
            _check_size(width, height)
            opened.verify()
            turned = _is_turned(opened)
            if image_format in UNCHECKED or (image_format in {"JPEG", "MPO"} and not _ends_as_jpeg(stream)):
                _open(stream).load()  # more bytes than needed do no harm, missing ones raise
    except UnusableError:
        raise
    except Exception as error:  # PIL's readers raise exceptions of many types for broken files
        raise UnusableError(f"image cannot be read: {error}") from error
    if not turned:
        return width, height
    return (height, width) if image_format in {"JPEG", "MPO", "PNG", "AVIF"} else _decoded_size(image)


def images_below(folder: Path) -> list[Path]:
    """Return the image files below a folder, sorted.

    Links are followed. Hidden files are left out.
    """
    names = glob.iglob("**/*.*", root_dir=folder, recursive=True)  # noqa: PTH207  `Path.glob` follows no links
    return sorted(folder / name for name in names if PurePath(name).suffix.lower() in IMAGE_SUFFIXES)


def thumbnail(image: Path, side: int) -> "Image":
    """Return a small, upright RGB copy.

    Args:
        image: the image file.
        side: the longer side of the copy in pixels, at most.

    Raises:
        UnusableError: The image cannot be read.
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
    """Open an image with the right reader.

    `Image.open` is not used: Ultralytics replaces it by a function that calls pip for an unknown image.
    """
    from PIL import Image

    Image.init()
    stream.seek(0)
    start = stream.read(16)
    if start[4:8] == b"ftyp" and "HEIF" not in Image.OPEN:
        with contextlib.suppress(ImportError):
            importlib.import_module("pi_heif").register_heif_opener()
    for name in READERS:
        reader, accepts = Image.OPEN.get(name, (None, None))
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
    """Return whether EXIF swaps width and height.

    As in upstream, damaged EXIF data are ignored.
    """
    try:
        # After `verify` only what was read before is available. TIFF holds it in tags of its own.
        tags = opened.tag_v2 if opened.format == "TIFF" else opened.getexif()  # type: ignore[attr-defined]
        return tags.get(EXIF_ORIENTATION) in TURNED
    except Exception:
        return False


def _ends_as_jpeg(stream: BinaryIO) -> bool:
    """Return whether a JPEG file ends properly."""
    stream.seek(-2, 2)
    return stream.read() == b"\xff\xd9"


def _decoded_size(image: Path) -> tuple[int, int]:
    """Return width and height after decoding by OpenCV.

    Its versions differ in the formats that they rotate.
    """
    import cv2
    import numpy as np

    pixels = cv2.imdecode(np.fromfile(image, dtype=np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise UnusableError("image cannot be read: OpenCV does not decode it")
    return pixels.shape[1], pixels.shape[0]
