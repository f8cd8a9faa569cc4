"""Store and read the detections of a data set.

One compressed file serves every protocol. It is an .npz of plain arrays, read without pickle: `xyxy_px`, `scores`,
`classes`, `image` (index of the image), and `about`, a JSON text in UTF-8 with the other fields.
"""

import dataclasses
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from akyolo.errors import ConfigError, first_line

FILE = "detections.npz"
FORMAT = 1
ARRAYS = ("xyxy_px", "scores", "classes", "image")
# what numpy, zipfile and json raise for a file that is torn, altered, or something else
UNREADABLE = (
    *(OSError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error),
    *(ArithmeticError, AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError),
)


@dataclass(frozen=True)
class Detections:
    """Detections in the images of one split.

    Args:
        images: names of the I images, as in `GroundTruth`.
        sizes: (I, 2) integers, width and height of each image in pixels.
        names: class names by index.
        xyxy_px: (D, 4) corners in pixels of the original image, not clipped to it: a protocol clips them if its
            program does.
        scores: (D,) in [0, 1]; descending for each image.
        classes: (D,) integers, class ids.
        image: (D,) integers, index of the detection's image in `images`.
        nms: how the boxes were selected: `conf`, `iou`, `max_det`, `multi_label`, `agnostic`; None if it is unknown.
        single_cls: whether all classes were merged into one.
        only: class ids of the objects that are scored; None for all.
        model: `file` and `sha256` of the weights.
        data: path of the data YAML.
        split: name of the split.
        annotations: whether the ground truth was a COCO json, not label files.
        labels_sha256: checksum of the ground truth; None if it is unknown.
        final: whether the boxes are results of another program, which are not clipped any more.
    """

    images: tuple[str, ...]
    sizes: NDArray[np.integer]
    names: tuple[str, ...]
    xyxy_px: NDArray[np.floating]
    scores: NDArray[np.floating]
    classes: NDArray[np.integer]
    image: NDArray[np.integer]
    nms: Mapping[str, Any] | None = None
    single_cls: bool = False
    only: Sequence[int] | None = None
    model: Mapping[str, Any] | None = None
    data: str | None = None
    split: str | None = None
    annotations: bool = False
    labels_sha256: str | None = None
    final: bool = False

    def __len__(self) -> int:
        """Return the number of detections."""
        return len(self.scores)

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        about = {
            "format": FORMAT,
            **{f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ARRAYS},
            "sizes": self.sizes.tolist(),
        }
        buffer = io.BytesIO()
        # Networks compute in float32 or less.
        np.savez_compressed(
            buffer,
            xyxy_px=self.xyxy_px.astype(np.float32),
            scores=self.scores.astype(np.float32),
            classes=self.classes.astype(np.int32),
            image=self.image.astype(np.int32),
            about=np.frombuffer(json.dumps(about).encode(), np.uint8),
        )
        return buffer.getvalue()

    def results(self, sizes: NDArray[np.integer]) -> NDArray[np.floating]:
        """Return the corners (D, 4) as evaluations take them.

        They are clipped to the images, unless they are `final`.

        Args:
            sizes: (I, 2) integers, width and height of each image in pixels.
        """
        return self.xyxy_px if self.final else clip(self.xyxy_px, sizes[self.image])


def clip(xyxy_px: NDArray[np.floating], sizes: NDArray[np.integer]) -> NDArray[np.floating]:
    """Clip boxes to their images.

    Args:
        xyxy_px: (n, 4) corners in pixels.
        sizes: (n, 2) integers, width and height of the image of each box in pixels.

    Example:
        >>> clip(np.array([[-3.0, 5, 90, 70]]), np.array([[80, 60]])).tolist()
        [[0.0, 5.0, 80.0, 60.0]]
    """
    return np.clip(xyxy_px, 0, np.concatenate((sizes, sizes), axis=1))


def read_detections(file: Path) -> Detections:
    """Read a file with the content of `Detections.to_bytes`.

    Raises:
        ConfigError: it is not such a file, or parts of it are missing.
    """
    try:
        content = io.BytesIO(file.read_bytes())
        if not zipfile.is_zipfile(content):
            raise ValueError("it is not an .npz")  # numpy would take it for a pickle, and suggest to trust it
        with np.load(content, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ARRAYS}
            about = json.loads(stored["about"].tobytes())
        if about.pop("format") != FORMAT:
            raise ValueError(f"not of format {FORMAT}")
        about["sizes"] = np.array(about["sizes"], np.int32).reshape(-1, 2)
        about |= {name: tuple(map(str, about[name])) for name in ("images", "names")}
        detections = Detections(**arrays, **about)
        _check(detections)
    except UNREADABLE as error:
        raise ConfigError(
            f"is not a file of detections ({getattr(error, 'strerror', None) or first_line(error)})",
            location=str(file),
            remedy="`akyolo val MODEL data=... protocol=...` writes one",
        ) from None
    return detections


def _check(detections: Detections) -> None:
    """Refuse wrong shapes, types and ranges."""
    count = len(detections.scores)
    is_valid = (
        detections.xyxy_px.shape == (count, 4)
        and detections.scores.shape == detections.classes.shape == detections.image.shape == (count,)
        and len(detections.sizes) == len(detections.images) == len(set(detections.images))
        and all(np.issubdtype(values.dtype, np.floating) for values in (detections.xyxy_px, detections.scores))
        and all(np.issubdtype(values.dtype, np.integer) for values in (detections.classes, detections.image))
        and isinstance(detections.nms, dict | None)
        and isinstance(detections.only, list | None)
        and np.isfinite(detections.xyxy_px).all()
        and bool(((detections.scores >= 0) & (detections.scores <= 1)).all())
    )
    if not is_valid or (count and not _indices_exist(detections)):
        raise ValueError("its parts do not fit each other")


def _indices_exist(detections: Detections) -> bool:
    """Return whether all images and classes exist."""
    image, classes = detections.image, detections.classes
    lowest = min(image.min(), classes.min())
    return bool(lowest >= 0 and image.max() < len(detections.images) and classes.max() < len(detections.names))
