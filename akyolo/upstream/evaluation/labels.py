"""What a training was given: how many images, and which labels."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ultralytics.data.base import BaseDataset
from ultralytics.data.utils import check_det_dataset, get_split_fraction, img2label_paths

from akyolo.upstream.logs import silence


def images_used(data: str, fraction: Any, split: str = "val") -> dict[str, int]:
    """How many images a training takes, by split.

    Args:
        data: its data YAML.
        fraction: the training argument.
        split: what it validates on.
    """
    found = check_det_dataset(data)
    return {name: len(_images(found[name], get_split_fraction(fraction, name))) for name in ("train", split)}


def label_checksum(data: str, split: str = "val") -> str:
    """SHA-256 over the contents of the label files, one after the other: `train`, then `split`, each by path.

    `cat labels/train/*.txt labels/val/*.txt | sha256sum` says the same. An image without a label file adds nothing.
    """
    found, digest = check_det_dataset(data), hashlib.sha256()
    for name in ("train", split):
        for file in map(Path, img2label_paths(_images(found[name], 1.0))):
            digest.update(file.read_bytes() if file.is_file() else b"")
    return digest.hexdigest()


def split_images(data: str, split: str) -> list[str]:
    """The image files of a split."""
    return _images(check_det_dataset(data, autodownload=False, split=split)[split], 1.0)


def image_names(data: str, files: Iterable[str]) -> list[str]:
    """What images are called wherever the data set lies: their paths within it."""
    root = Path(check_det_dataset(data, autodownload=False)["path"]).resolve()
    paths = map(Path, files)
    return [(path.relative_to(root) if path.is_relative_to(root) else path).as_posix() for path in paths]


def _images(where: Any, fraction: float) -> list[str]:
    """As upstream's data set lists them."""
    with silence():  # it would time the disk
        return BaseDataset.get_img_files(SimpleNamespace(fraction=fraction, prefix=""), where)
