"""Detections of a whole data set, stored once: one compressed file, which any protocol can score later.

The file is an .npz of plain arrays, read without pickle: `xyxy_px`, `scores`, `classes`, `image` (which of the images),
and `about`, a JSON text in UTF-8 with the rest.
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
    """What a model found in the images of one split.

    Args:
        images: their names, as `akyolo.scoring.ground_truth` knows them.
        sizes: (I, 2) integers, width and height of each in pixels.
        names: of the classes, by index.
        xyxy_px: (D, 4) corners in pixels of the original image, not clipped to it: a protocol clips where its
            program does.
        scores: (D,) of 0 to 1; of one image, in descending order.
        classes: (D,) integers.
        image: (D,) integers, which of `images`.
        nms: how they were chosen: `conf`, `iou`, `max_det`, `multi_label`, `agnostic`; None where nobody knows.
        single_cls: whether all classes were made one.
        only: indices of the classes whose objects count; None for all.
        model: `file` and `sha256` of the weights.
        data: the data YAML.
        split: of it.
        annotations: whether its ground truth was a COCO json, and not its label files.
        labels_sha256: of that ground truth; None where nobody knows.
        final: whether the boxes are results as another program wrote them, which nobody clips any more.
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
        return len(self.scores)

    def to_bytes(self) -> bytes:
        """The file, compressed; boxes and scores in float32, which is what networks give."""
        about = {
            "format": FORMAT,
            **{f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ARRAYS},
            "sizes": self.sizes.tolist(),
        }
        buffer = io.BytesIO()
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
        """(D, 4): the corners as a program hands them to an evaluation, within their images of these sizes (I, 2)."""
        return self.xyxy_px if self.final else clip(self.xyxy_px, sizes[self.image])


def clip(xyxy_px: NDArray[np.floating], sizes: NDArray[np.integer]) -> NDArray[np.floating]:
    """Corners (n, 4) in pixels, moved into images of `sizes` (n, 2), width and height."""
    return np.clip(xyxy_px, 0, np.concatenate((sizes, sizes), axis=1))


def read_detections(file: Path) -> Detections:
    """Read what `Detections.to_bytes` gave.

    Raises:
        ConfigError: it is no such file, or not all of it is there.
    """
    try:
        if file.is_file() and not zipfile.is_zipfile(file):
            raise ValueError("it is no .npz")  # numpy would take it for a pickle, and advise to trust it
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ARRAYS}
            about = json.loads(stored["about"].tobytes())
        if about.pop("format") != FORMAT:
            raise ValueError(f"not of format {FORMAT}")
        about["sizes"] = np.array(about["sizes"], np.int32).reshape(-1, 2)
        about |= {name: tuple(map(str, about[name])) for name in ("images", "names")}
        found = Detections(**arrays, **about)
        _check(found)
    except UNREADABLE as error:
        raise ConfigError(
            f"is no file of detections ({getattr(error, 'strerror', None) or first_line(error)})",
            location=str(file),
            remedy="`akyolo val MODEL data=... protocol=...` writes one",
        ) from None
    return found


def _check(found: Detections) -> None:
    """Shapes, types and ranges: whatever follows can rely on them."""
    count = len(found.scores)
    right = (
        found.xyxy_px.shape == (count, 4)
        and found.scores.shape == found.classes.shape == found.image.shape == (count,)
        and len(found.sizes) == len(found.images) == len(set(found.images))
        and all(np.issubdtype(values.dtype, np.floating) for values in (found.xyxy_px, found.scores))
        and all(np.issubdtype(values.dtype, np.integer) for values in (found.classes, found.image))
        and isinstance(found.nms, dict | None)
        and isinstance(found.only, list | None)
        and np.isfinite(found.xyxy_px).all()
        and bool(((found.scores >= 0) & (found.scores <= 1)).all())
    )
    if not right or (count and not _within(found)):
        raise ValueError("its parts do not fit each other")


def _within(found: Detections) -> bool:
    lowest, highest = min(found.image.min(), found.classes.min()), len(found.images)
    return bool(lowest >= 0 and found.image.max() < highest and found.classes.max() < len(found.names))
