"""Count images and hash labels of a training."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ultralytics.data.base import BaseDataset
from ultralytics.data.utils import check_det_dataset, get_split_fraction, img2label_paths

from akyolo.upstream.logs import silence


def images_used(data: str, fraction: Any, split: str = "val") -> dict[str, int]:
    """Count the images that a training uses, by split.

    Args:
        data: path of the data YAML.
        fraction: training argument of that name.
        split: split that the training validates on.
    """
    content = check_det_dataset(data)
    return {name: len(list_images(content[name], get_split_fraction(fraction, name))) for name in ("train", split)}


def label_checksum(data: str, split: str = "val") -> str:
    """Return the SHA-256 of the label files.

    It is that of `cat labels/train/*.txt labels/val/*.txt | sha256sum`: of the contents, `train` first, each split
    sorted by path. An image without a label file adds nothing.

    Args:
        data: path of the data YAML.
        split: split that the training validates on.
    """
    content, digest = check_det_dataset(data), hashlib.sha256()
    for name in ("train", split):
        for file in map(Path, img2label_paths(list_images(content[name]))):
            digest.update(file.read_bytes() if file.is_file() else b"")
    return digest.hexdigest()


def list_images(location: Any, fraction: float = 1.0) -> list[str]:
    """List image files as upstream's data set does.

    Args:
        location: a folder, a list of images as a text file, or several of them.
        fraction: share of the images, or their number if it is an integer.

    Raises:
        FileNotFoundError: there is no image.
    """
    with silence():  # upstream measures the speed of the disk and reports it
        return BaseDataset.get_img_files(SimpleNamespace(fraction=fraction, prefix=""), location)
