"""What a data set holds: its images, the checksum of its labels, and its ground truth.

Ground truth is the COCO json that the data YAML names, `annotations: {val: FILE}`, else the label files.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ultralytics.data.base import BaseDataset
from ultralytics.data.utils import check_det_dataset, get_split_fraction, img2label_paths

from akyolo.errors import DatasetError, first_line
from akyolo.scoring.ground_truth import GroundTruth, from_coco_json, from_labels
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


def _images(location: Any, fraction: float) -> list[str]:
    """As upstream's data set lists them."""
    with silence():  # it would time the disk
        return BaseDataset.get_img_files(SimpleNamespace(fraction=fraction, prefix=""), location)


def names_of(names: Mapping[int, str] | Sequence[str]) -> tuple[str, ...]:
    """Class names by index."""
    return tuple(names.values() if isinstance(names, Mapping) else names)


def read_truth(data: str, split: str, images: Sequence[str], sizes: NDArray[np.integer]) -> tuple[GroundTruth, bool]:
    """What a data set says of images of its own, and whether a json says it.

    Args:
        data: its data YAML.
        split: of it.
        images: names, as `image_names` gives them.
        sizes: (I, 2) integers, width and height of each in pixels, for label files.

    Raises:
        DatasetError: an image is none of its, or its ground truth cannot be read.
    """
    try:
        found: dict[str, Any] = check_det_dataset(data, autodownload=False, split=split)
    except Exception as error:  # upstream raises whatever it meets first
        raise DatasetError(first_line(error), location=data) from None
    listed = set(image_names(data, split_images(data, split)))
    if unknown := [name for name in images if name not in listed]:
        raise DatasetError(f"has no {unknown[0]} among its {len(listed)} {split} images", location=data)
    root, names = Path(found["path"]).resolve(), names_of(found["names"])
    files_of_splits = found.get("annotations") or {}
    if not isinstance(files_of_splits, dict):
        raise DatasetError(
            "'annotations' must name a file for each split", location=data, remedy="annotations: {val: FILE}"
        )
    if file := files_of_splits.get(split):
        truth = from_coco_json(root / file).of(images, str(root / file))
        check_names(names, truth.names, str(root / file))
        return truth, True
    files = [Path(file) for file in img2label_paths([str(root / name) for name in images])]
    return from_labels(images, sizes, files, names), False


def check_names(ours: Sequence[str], theirs: Sequence[str], location: str) -> None:
    """Refuse another list of classes.

    Raises:
        DatasetError: it says where they part.
    """
    if len(ours) != len(theirs):
        raise DatasetError(f"has {len(theirs)} classes, not {len(ours)}", location=location)
    for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if one != other:
            raise DatasetError(f"calls class {index} {other!r}, not {one!r}", location=location)
