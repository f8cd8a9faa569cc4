"""Read images and class names from a data YAML.

It is understood as by Ultralytics, except that nothing in it is run or downloaded.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from akyolo.checks import FROM_0
from akyolo.datasets.formats.images import images_below
from akyolo.datasets.yolo.plain_yaml import read_plain_yaml
from akyolo.datasets.yolo.splits import SPLITS
from akyolo.errors import DatasetError

RUN = ("download",)  # the key whose value Ultralytics runs as Python or in a shell


@dataclass(frozen=True)
class DataYaml:
    """The content of a data YAML.

    Attributes:
        file: the data YAML.
        images: the image files by split, sorted.
        names: the class names by class index.
        keypoints: how many numbers follow the box in a label row of a pose; else 0.
    """

    file: Path
    images: dict[str, list[Path]]
    names: tuple[str, ...]
    keypoints: int


def check_runs_nothing(file: Path) -> None:
    """Check that a data YAML holds no program.

    Raises:
        DatasetError: It holds one; the error names file and line.
    """
    read_plain_yaml(file, refuse=RUN)


def read_data_yaml(file: Path) -> DataYaml:
    """Read a data YAML and list its images.

    Raises:
        DatasetError: It is not plain YAML, holds a program, or names files that do not exist.
    """
    data = read_plain_yaml(file, refuse=RUN)
    root = Path(str(data.get("path") or file.parent.absolute()))
    if not root.is_dir():
        raise DatasetError(
            f"path {str(root)!r} is not a folder", location=str(file), remedy="Write it as an absolute path."
        )
    if "validation" in data:
        data.setdefault("val", data["validation"])
    for split in ("train", "val"):
        if not data.get(split):
            raise DatasetError(f"has no {split}", location=str(file), remedy=f"{split}: images/{split}, for example")
    images = {split: _images(file, root, split, data[split]) for split in SPLITS if data.get(split)}
    return DataYaml(file, images, _names(file, data), _keypoints(file, data.get("kpt_shape", (0, 0))))


def label_of(image: Path) -> Path:
    """Return the label file of an image.

    It is the path that Ultralytics uses.

    The last folder `images` becomes `labels`.

    Example:
        >>> label_of(Path("/data/images/val/7.jpg")).as_posix()
        '/data/labels/val/7.txt'
    """
    before, images, after = str(image).rpartition(f"{os.sep}images{os.sep}")
    return Path(f"{before}{os.sep}labels{os.sep}{after}" if images else image).with_suffix(".txt")


def _names(file: Path, data: dict[str, Any]) -> tuple[str, ...]:
    """Return the class names by class index."""
    names, count = data.get("names"), data.get("nc")
    if names is None and isinstance(count, int):
        names = [f"class_{number}" for number in range(count)]
    if isinstance(names, dict):
        names = {int(key) if str(key).isdecimal() else key: value for key, value in names.items()}
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise DatasetError("names are not numbered 0, 1, 2, ...", location=str(file))
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DatasetError("has no names", location=str(file), remedy="names: [cat, dog], for example")
    if count is not None and count != len(names):
        raise DatasetError(f"nc is {count}, but there are {len(names)} names", location=str(file))
    return tuple(map(str, names))


def _keypoints(file: Path, shape: Any) -> int:
    """Return the keypoint numbers of an object."""
    if not isinstance(shape, list | tuple) or len(shape) != 2 or not all(n in FROM_0 for n in shape):
        what = f"kpt_shape is {shape!r}"
        raise DatasetError(what, location=str(file), remedy="kpt_shape: [17, 3]: how many, and the numbers of each")
    return int(shape[0] * shape[1])


def _images(file: Path, root: Path, split: str, value: Any) -> list[Path]:
    """Return the image files of a split, sorted."""
    images: set[Path] = set()
    for entry in value if isinstance(value, list) else [value]:
        location = root / str(entry)
        if not location.exists() and str(entry).startswith("../"):  # Roboflow writes it so, and Ultralytics reads it.
            location = root / str(entry).removeprefix("../")
        if location.is_dir():
            images.update(images_below(location))
        elif location.suffix == ".txt" and location.is_file():
            images.update(_listed(location))
        else:
            raise DatasetError(
                f"{split}: {str(location)!r} is neither a folder nor a list of images", location=str(file)
            )
    if not images:
        raise DatasetError(f"{split} holds no images", location=str(file))
    return sorted(images)


def _listed(file: Path) -> Iterator[Path]:
    """Yield the images of a list.

    `./` is the folder of the list.
    """
    for line in file.read_text(encoding="utf-8-sig").splitlines():
        if line.strip():
            image = Path(line.strip())
            yield file.parent / image if line.startswith("./") else image
