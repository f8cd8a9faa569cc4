"""Store the embedded data set: drawn once, by one process, complete or not at all."""

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml
from platformdirs import user_cache_path

from akyolo.datasets.shapes.draw import DRAWING, OUTLINES, picture
from akyolo.errors import DatasetError
from akyolo.files import lock, publish_folder
from akyolo.resources import packaged

JPEG_QUALITY = 92


@dataclass(frozen=True)
class Spec:
    """What `data/shapes.yaml` says: class names, pictures per split, picture side in px, seed."""

    names: tuple[str, ...]
    train: int
    val: int
    size: int
    seed: int

    @classmethod
    def read(cls) -> "Spec":
        """Read the file that came with this installation."""
        path = packaged("data") / "shapes.yaml"
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        if raw["names"] != list(OUTLINES):
            raise DatasetError(
                f"names are {raw['names']}", location=str(path), remedy=f"expected {list(OUTLINES)}, in this order"
            )
        return cls(tuple(raw["names"]), raw["images"]["train"], raw["images"]["val"], raw["size"], raw["seed"])

    @property
    def digest(self) -> str:
        """Twelve hex digits that change with these numbers and with the way pictures are drawn."""
        text = json.dumps([DRAWING, JPEG_QUALITY, asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def prepare(root: Path | None = None, spec: Spec | None = None) -> Path:
    """Draw the set on first use, and give the path of its data YAML.

    Any number of processes may call this at once: one draws, the others wait. The set is drawn beside its place and
    moved there complete, so a killed run leaves nothing that could pass for a set.

    Args:
        root: the folder that holds, or gets, the set; the user's cache folder if not given.
        spec: what to draw; `data/shapes.yaml` if not given.
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
    """The path of its data YAML, drawn or not."""
    root = (root or user_cache_path("akyolo")).absolute()
    return root / f"shapes-{(spec or Spec.read()).digest}" / "shapes.yaml"


def _data_yaml(home: Path, spec: Spec) -> str:
    names = dict(enumerate(spec.names))
    data = {"path": str(home), "train": "images/train", "val": "images/val", "names": names}
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _inventory(home: Path) -> list[int]:
    """Number and bytes of all pictures and labels below `home`."""
    sizes = [f.stat().st_size for kind in ("images/*/*.jpg", "labels/*/*.txt") for f in home.glob(kind)]
    return [len(sizes), sum(sizes)]


def _complete(home: Path, spec: Spec) -> bool:
    """Whether `home` holds all that its manifest lists, and its data YAML still points at where it lies now."""
    try:
        manifest = json.loads((home / "manifest.json").read_text(encoding="utf-8"))
        text = (home / "shapes.yaml").read_text(encoding="utf-8")
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return text == _data_yaml(home, spec) and manifest["files"] == _inventory(home)


def _replace(home: Path, spec: Spec) -> None:
    """Draw the set and put it in place of whatever incomplete thing is there. Only under the lock."""
    print(f"akyolo: drawing the shapes data set ({spec.train + spec.val} images) into {home}", file=sys.stderr)
    with publish_folder(home, locked=True) as folder:
        _write(folder, home, spec)


def _write(folder: Path, home: Path, spec: Spec) -> None:
    """Write the complete set into `folder`, to be moved to `home`; the manifest comes last."""
    for split, indices in (("train", range(spec.train)), ("val", range(spec.train, spec.train + spec.val))):
        images, labels = folder / "images" / split, folder / "labels" / split
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for index in indices:
            image, boxes, classes = picture(spec.seed, index, spec.size)
            _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            (images / f"{index:06d}.jpg").write_bytes(jpeg.tobytes())
            (labels / f"{index:06d}.txt").write_text(_label_text(boxes, classes, spec.size), encoding="utf-8")
    (folder / "shapes.yaml").write_text(_data_yaml(home, spec), encoding="utf-8")
    manifest = {"spec": asdict(spec), "drawing": DRAWING, "files": _inventory(folder)}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _label_text(boxes: np.ndarray, classes: np.ndarray, size: int) -> str:
    """Lines "class cx cy w h" in parts of the picture: exact at 320 px, where all are multiples of 1/640."""
    corners = boxes / size
    centres, sides = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    rows = zip(classes, np.concatenate([centres, sides], 1), strict=True)
    return "".join(f"{kind} " + " ".join(f"{v:.7f}" for v in values) + "\n" for kind, values in rows)
