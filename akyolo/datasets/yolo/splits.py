"""Assign images to splits."""

import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from akyolo.errors import DatasetError

T = TypeVar("T")
SPLITS = ("train", "val", "test")
LISTS = (*SPLITS, "trainval")


def read_lists(folder: Path, key_of: Callable[[str], str]) -> dict[str, tuple[str, ...]]:
    """Read the split lists of a folder.

    These are train.txt, val.txt, test.txt and trainval.txt. Other files, such as VOC's lists of one class, are
    not read.

    Args:
        folder: the folder.
        key_of: returns the key of an image from one line.

    Returns:
        The keys by list name. Empty lists are left out.

    Raises:
        DatasetError: A list is not text.
    """
    lists: dict[str, tuple[str, ...]] = {}
    for name in LISTS:
        file = folder / f"{name}.txt"
        if not file.is_file():
            continue
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise DatasetError("the split list is not UTF-8 text", location=str(file)) from error
        keys = tuple(key_of(line.strip()) for line in lines if line.strip())
        if keys:
            lists[name] = keys
    return lists


def assign(lists: Mapping[str, tuple[str, ...]], location: str) -> dict[str, str]:
    """Return the split of each key.

    `trainval` is used only if train or val is missing: the missing one is what `trainval` has beyond the other.

    Args:
        lists: the keys by list name.
        location: the folder of the lists, for errors.

    Raises:
        DatasetError: There is nothing to train on, or a key is in two splits.

    Example:
        >>> assign({"trainval": ("a", "b", "c"), "val": ("c",)}, "ImageSets/Main")
        {'c': 'val', 'a': 'train', 'b': 'train'}
    """
    keys_of = {split: lists[split] for split in SPLITS if split in lists}
    for missing, other in (("train", "val"), ("val", "train")):
        if "trainval" in lists and missing not in keys_of:
            taken = set(keys_of.get(other, ()))
            keys_of[missing] = tuple(key for key in lists["trainval"] if key not in taken)
    if not keys_of.get("train"):
        raise DatasetError(
            f"no list to train on, only {' and '.join(sorted(lists))}.txt",
            location=location,
            remedy="Add a train.txt, or import a copy without ImageSets/Main for a random split.",
        )
    split_of: dict[str, str] = {}
    for split, keys in keys_of.items():
        for key in keys:
            if split_of.setdefault(key, split) != split:
                raise DatasetError(
                    f"{key} is listed in {split_of[key]} and in {split}",
                    location=location,
                    remedy="An image seen in training says nothing in a test: take it out of one of the lists.",
                )
    return split_of


def group(items: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    """Return the items of each split.

    Example:
        >>> group([("train", 1), ("val", 2), ("train", 3)])
        {'train': [1, 3], 'val': [2]}
    """
    groups: dict[str, list[T]] = {}
    for split, item in items:
        groups.setdefault(split, []).append(item)
    return groups


def hold_out(items: list[T], fraction: float, seed: int, location: str) -> tuple[list[T], list[T]]:
    """Split items at random into train and val.

    Args:
        items: two or more items.
        fraction: the share of val.
        seed: the same seed and items give the same split.
        location: the folder of the items, for errors.

    Raises:
        DatasetError: There are fewer than two items.

    Example:
        >>> train, val = hold_out(list(range(10)), 0.2, seed=0, location="images")
        >>> len(train), len(val)
        (8, 2)
    """
    if len(items) < 2:
        raise DatasetError(f"{len(items)} usable image cannot be split into train and val", location=location)
    count = min(max(round(fraction * len(items)), 1), len(items) - 1)
    order = list(range(len(items)))
    random.Random(seed).shuffle(order)
    held = set(order[:count])
    return [item for i, item in enumerate(items) if i not in held], [items[i] for i in sorted(held)]
