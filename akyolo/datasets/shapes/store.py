"""Draw and store the embedded data set."""

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml
from platformdirs import user_cache_path

from akyolo.datasets.shapes.draw import DRAWING, OUTLINES, draw_image
from akyolo.errors import DatasetError
from akyolo.files import lock, publish_folder
from akyolo.resources import packaged

JPEG_QUALITY = 92


@dataclass(frozen=True)
class Spec:
    """The content of `data/shapes.yaml`.

    Attributes:
        names: the class names by class index.
        train: the number of training images.
        val: the number of validation images.
        size: the side of an image in pixels.
        seed: the seed of the random streams.
    """

    names: tuple[str, ...]
    train: int
    val: int
    size: int
    seed: int

    @classmethod
    def read(cls) -> "Spec":
        """Read the packaged file.

        Raises:
            DatasetError: The classes are not those that can be drawn.
        """
        path = packaged("data") / "shapes.yaml"
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        if raw["names"] != list(OUTLINES):
            raise DatasetError(
                f"names are {raw['names']}", location=str(path), remedy=f"expected {list(OUTLINES)}, in this order"
            )
        return cls(tuple(raw["names"]), raw["images"]["train"], raw["images"]["val"], raw["size"], raw["seed"])

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that identify the set."""
        text = json.dumps([DRAWING, JPEG_QUALITY, asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def prepare(root: Path | None = None, spec: Spec | None = None) -> Path:
    """Draw the set on first use and return its data YAML.

    Several processes may call it at once: one draws, the others wait. The set appears when it is complete, so a killed
    process leaves no incomplete set.

    Args:
        root: the folder that holds the set; the user's cache folder if not given.
        spec: what to draw; `data/shapes.yaml` if not given.

    Raises:
        DatasetError: The set cannot be written.
    """
    spec = spec or Spec.read()
    file = data_yaml(root, spec)
    home, root = file.parent, file.parent.parent
    try:
        if not _complete(home, spec):
            root.mkdir(parents=True, exist_ok=True)
            with lock(root / f"{home.name}.lock"):
                if not _complete(home, spec):
                    _replace(home, spec)
    except OSError as error:
        raise DatasetError(
            f"the shapes data set cannot be written: {error}",
            location=str(root),
            remedy="it needs about 40 MB in a folder you may write to",
        ) from error
    return file


def data_yaml(root: Path | None = None, spec: Spec | None = None) -> Path:
    """Return the path of the data YAML.

    The set need not be drawn.
    """
    root = (root or user_cache_path("akyolo")).absolute()
    return root / f"shapes-{(spec or Spec.read()).digest}" / "shapes.yaml"


def _data_yaml(home: Path, spec: Spec) -> str:
    """Return the text of the data YAML."""
    names = dict(enumerate(spec.names))
    data = {"path": str(home), "train": "images/train", "val": "images/val", "names": names}
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _inventory(home: Path) -> list[int]:
    """Count images, labels and their bytes."""
    sizes = [f.stat().st_size for pattern in ("images/*/*.jpg", "labels/*/*.txt") for f in home.glob(pattern)]
    return [len(sizes), sum(sizes)]


def _complete(home: Path, spec: Spec) -> bool:
    """Return whether the set is complete here."""
    try:
        manifest = json.loads((home / "manifest.json").read_text(encoding="utf-8"))
        text = (home / "shapes.yaml").read_text(encoding="utf-8")
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return text == _data_yaml(home, spec) and manifest["files"] == _inventory(home)


def _replace(home: Path, spec: Spec) -> None:
    """Draw the set and replace an incomplete one.

    Call it under the lock.
    """
    print(f"akyolo: drawing the shapes data set ({spec.train + spec.val} images) into {home}", file=sys.stderr)
    with publish_folder(home, locked=True) as folder:
        _write(folder, home, spec)


def _write(folder: Path, home: Path, spec: Spec) -> None:
    """Write the set into `folder`, which is moved to `home` later."""
    for split, indices in (("train", range(spec.train)), ("val", range(spec.train, spec.train + spec.val))):
        images, labels = folder / "images" / split, folder / "labels" / split
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for index in indices:
            image, boxes, classes = draw_image(spec.seed, index, spec.size)
            _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            (images / f"{index:06d}.jpg").write_bytes(jpeg.tobytes())
            (labels / f"{index:06d}.txt").write_text(_label_text(boxes, classes, spec.size), encoding="utf-8")
    (folder / "shapes.yaml").write_text(_data_yaml(home, spec), encoding="utf-8")
    manifest = {"spec": asdict(spec), "drawing": DRAWING, "files": _inventory(folder)}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _label_text(boxes: np.ndarray, classes: np.ndarray, size: int) -> str:
    """Return the label rows of one image.

    A row is "class cx cy w h" in fractions. They are exact at 320 pixels, where all values are multiples of 1/640.
    """
    corners = boxes / size
    centres, sides = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    rows = zip(classes, np.concatenate([centres, sides], 1), strict=True)
    return "".join(f"{class_id} " + " ".join(f"{v:.7f}" for v in values) + "\n" for class_id, values in rows)
