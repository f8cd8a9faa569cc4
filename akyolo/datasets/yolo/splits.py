"""Which picture is trained on, which validated on, which kept for the test."""

import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from akyolo.errors import DatasetError

T = TypeVar("T")
SPLITS = ("train", "val", "test")
LISTS = (*SPLITS, "trainval")


def read_lists(folder: Path, key_of: Callable[[str], str]) -> dict[str, tuple[str, ...]]:
    """The non-empty lists among train, val, test and trainval `.txt` of a folder: list name -> keys.

    `key_of` turns one line into the key of a picture. Other files, such as VOC's one list per class, are not read.
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
    """Key -> its one split, from the lists that are there.

    `trainval` is asked only where train or val is missing: it is train, or gives the missing half as its remainder.

    Raises:
        DatasetError: there is nothing to train on, or a key stands in two splits.
    """
    chosen = {split: lists[split] for split in SPLITS if split in lists}
    for missing, other in (("train", "val"), ("val", "train")):
        if "trainval" in lists and missing not in chosen:
            taken = set(chosen.get(other, ()))
            chosen[missing] = tuple(key for key in lists["trainval"] if key not in taken)
    if not chosen.get("train"):
        raise DatasetError(
            f"no list to train on, only {' and '.join(sorted(lists))}.txt",
            location=location,
            remedy="Add a train.txt, or import a copy without ImageSets/Main for a random split.",
        )
    split_of: dict[str, str] = {}
    for split, keys in chosen.items():
        for key in keys:
            if split_of.setdefault(key, split) != split:
                raise DatasetError(
                    f"{key} is listed in {split_of[key]} and in {split}",
                    location=location,
                    remedy="An image seen in training says nothing in a test: take it out of one of the lists.",
                )
    return split_of


def group(items: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    """(split, item) pairs -> split -> items, in the order given."""
    groups: dict[str, list[T]] = {}
    for split, item in items:
        groups.setdefault(split, []).append(item)
    return groups


def hold_out(items: list[T], fraction: float, seed: int, location: str) -> tuple[list[T], list[T]]:
    """Split at random into (train, val), at least one each; the same items and seed give the same split."""
    if len(items) < 2:
        raise DatasetError(f"{len(items)} usable image cannot be split into train and val", location=location)
    count = min(max(round(fraction * len(items)), 1), len(items) - 1)
    order = list(range(len(items)))
    random.Random(seed).shuffle(order)
    held = set(order[:count])
    return [one for i, one in enumerate(items) if i not in held], [items[i] for i in sorted(held)]
