"""A data YAML, read for its values: where the images of each split lie and what the classes are called.

It is found and understood as Ultralytics does, except that nothing in it is ever run or fetched.
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
    """`images` holds the image files by split, sorted; `names` the classes by index.

    `keypoints` is how many numbers of a label row follow the box, for poses.
    """

    file: Path
    images: dict[str, list[Path]]
    names: tuple[str, ...]
    keypoints: int


def check_runs_nothing(file: Path) -> None:
    """Refuse a data YAML that holds a program.

    Raises:
        DatasetError: with file and line.
    """
    read_plain_yaml(file, refuse=RUN)


def read_data_yaml(file: Path) -> DataYaml:
    """Read a data YAML and list its images.

    Raises:
        DatasetError: it is no plain YAML, holds a program, or names what is not there.
    """
    data = read_plain_yaml(file, refuse=RUN)
    root = Path(str(data.get("path") or file.parent.absolute()))
    if not root.is_dir():
        raise DatasetError(
            f"path {str(root)!r} is no folder", location=str(file), remedy="Write it as an absolute path."
        )
    if "validation" in data:
        data.setdefault("val", data["validation"])
    for split in ("train", "val"):
        if not data.get(split):
            raise DatasetError(f"has no {split}", location=str(file), remedy=f"{split}: images/{split}, for example")
    images = {split: _images(file, root, split, data[split]) for split in SPLITS if data.get(split)}
    return DataYaml(file, images, _names(file, data), _keypoints(file, data.get("kpt_shape", (0, 0))))


def label_of(image: Path) -> Path:
    """Where Ultralytics looks for the labels of an image: the last folder `images` becomes `labels`."""
    before, found, after = str(image).rpartition(f"{os.sep}images{os.sep}")
    return Path(f"{before}{os.sep}labels{os.sep}{after}" if found else image).with_suffix(".txt")


def _names(file: Path, data: dict[str, Any]) -> tuple[str, ...]:
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
    if not isinstance(shape, list | tuple) or len(shape) != 2 or not all(n in FROM_0 for n in shape):
        what = f"kpt_shape is {shape!r}"
        raise DatasetError(what, location=str(file), remedy="kpt_shape: [17, 3]: how many, and the numbers of each")
    return int(shape[0] * shape[1])


def _images(file: Path, root: Path, split: str, value: Any) -> list[Path]:
    found: set[Path] = set()
    for one in value if isinstance(value, list) else [value]:
        location = root / str(one)
        if not location.exists() and str(one).startswith("../"):  # as Roboflow writes it, and Ultralytics reads it
            location = root / str(one).removeprefix("../")
        if location.is_dir():
            found.update(images_below(location))
        elif location.suffix == ".txt" and location.is_file():
            found.update(_listed(location))
        else:
            raise DatasetError(f"{split}: {str(location)!r} is no folder and no list of images", location=str(file))
    if not found:
        raise DatasetError(f"{split} holds no images", location=str(file))
    return sorted(found)


def _listed(file: Path) -> Iterator[Path]:
    for line in file.read_text(encoding="utf-8-sig").splitlines():
        if line.strip():
            image = Path(line.strip())
            yield file.parent / image if line.startswith("./") else image
