"""Import a folder in COCO's or VisDrone's format.

Its files are found, their splits are taken from their names, and they are read.
`imported/voc.py` does it for Pascal VOC, whose splits are lists. The folder is only read.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from akyolo.datasets.formats.annotations import UnusableError, composed, summary_of
from akyolo.datasets.formats.coco import FindImage, read_coco
from akyolo.datasets.formats.images import images_below
from akyolo.datasets.formats.split import SplitAnnotations
from akyolo.datasets.formats.visdrone import read_visdrone
from akyolo.datasets.published.spec import find_spec
from akyolo.datasets.yolo.layout import Imported, YoloSet
from akyolo.datasets.yolo.splits import SPLITS, hold_out
from akyolo.errors import DatasetError

SPLIT_WORD = re.compile(r"(?<![a-z])(train|val|test)(?:id|idation|ing)?(?![a-z])")
REMEDY = "Files or folders named train, val, test say which split they are; one alone is split at random."


def import_coco(folder: Path, val: float = 0.2, seed: int = 0) -> Imported:
    """Read a folder in COCO's format.

    There is one JSON file for a split, for example annotations/instances_train2017.json or train/coco.json.
    Images may lie anywhere in the folder.

    Args:
        folder: the folder.
        val: the share of the training images that is held out where no file is a validation set.
        seed: the seed of that draw.

    Raises:
        DatasetError: The folder as a whole cannot be used. A single bad image or annotation is rejected instead.
    """
    if not folder.is_dir():
        raise DatasetError("no such folder", location=str(folder))
    files = [file for pattern in ("*.json", "*/*.json", "*/*/*.json") for file in sorted(folder.glob(pattern))]
    # COCO's captions lie in the same folder.
    files = [file for file in files if file.name.startswith("instances")] or files
    images: dict[str, list[Path]] = {}
    for image in images_below(folder):
        images.setdefault(composed(image.name), []).append(image)
    splits: dict[str, SplitAnnotations] = {}
    names_of: dict[Path, tuple[str, ...]] = {}
    for split, file in _by_split(files, folder, lambda file: (file.stem, file.parent.name)).items():
        splits[split], names_of[file] = read_coco(file, _finder(images, file, split))
    (first, expected), *others = names_of.items()
    for file, names in others:
        if names != expected:
            raise DatasetError(f"has other classes than {first.name}: {', '.join(names)}", location=str(file))
    return _assemble(splits, expected, folder, val, seed)


def import_visdrone(folder: Path, val: float = 0.2, seed: int = 0) -> Imported:
    """Read a folder in VisDrone's format.

    images/ and annotations/ lie in it, or in folders such as VisDrone2019-DET-train below it.

    Args:
        folder: the folder.
        val: the share of the training images that is held out where no folder is a validation set.
        seed: the seed of that draw.

    Raises:
        DatasetError: The folder as a whole cannot be used. A single bad image or annotation is rejected instead.
    """
    candidates = [folder, *(child for child in sorted(folder.iterdir()) if child.is_dir())]
    candidates += [child for path in candidates[1:] for child in sorted(path.iterdir()) if child.is_dir()]
    folders = [path for path in candidates if (path / "images").is_dir() and (path / "annotations").is_dir()]
    names = find_spec("visdrone").names
    splits = {
        split: read_visdrone(path / "images", path / "annotations", names)
        for split, path in _by_split(folders, folder, lambda path: (path.name,)).items()
    }
    return _assemble(splits, names, folder, val, seed)


def _split_of(words: tuple[str, ...]) -> str | None:
    """Return the split that the first matching word names.

    None if no word names a split, or one word names two.
    """
    for word in words:
        if splits := set(SPLIT_WORD.findall(word.lower())):
            return splits.pop() if len(splits) == 1 else None
    return None


def _by_split(paths: list[Path], folder: Path, words: Callable[[Path], tuple[str, ...]]) -> dict[str, Path]:
    """Return the file or folder of each split."""
    if not paths:
        raise DatasetError("no annotations found", location=str(folder), remedy=REMEDY)
    if len(paths) == 1:
        return {"train": paths[0]}
    splits: dict[str, Path] = {}
    for path in paths:
        split = _split_of(words(path))
        if split is None or split in splits:
            what = f"the name of {path} tells no split" if split is None else f"two are of {split}: {path}"
            raise DatasetError(what, location=str(folder), remedy=REMEDY)
        splits[split] = path
    if "train" not in splits:
        raise DatasetError(f"nothing to train on, only {' and '.join(splits)}", location=str(folder), remedy=REMEDY)
    return {split: splits[split] for split in SPLITS if split in splits}


def _finder(images: Mapping[str, list[Path]], file: Path, split: str) -> FindImage:
    """Return the function that finds an image.

    It compares whole paths as far as they go. If several images remain, the nearest one is taken.
    """

    def find_image(name: str) -> Path | None:
        parts = tuple(part for part in re.split(r"[\\/]", composed(name)) if part not in {"", ".", ".."})
        same_name = images.get(parts[-1] if parts else "", [])
        matches = [path for path in same_name if Path(composed(str(path))).parts[-len(parts) :] == parts] or same_name
        for is_nearer in (
            lambda path: path.is_relative_to(file.parent),
            lambda path: _split_of(path.parts[-2:-1]) == split,
        ):
            if len(matches) > 1:
                matches = [path for path in matches if is_nearer(path)] or matches
        if len(matches) > 1:
            raise UnusableError(f"{len(matches)} images have this name")
        return matches[0] if matches else None

    return find_image


def _assemble(
    splits: dict[str, SplitAnnotations], names: tuple[str, ...], folder: Path, val: float, seed: int
) -> Imported:
    """Return the data set with a validation set."""
    rejected = tuple(rejection for part in splits.values() for rejection in part.rejected)
    remarks = tuple(remark for part in splits.values() for remark in part.remarks)
    how = "as their names say"
    if not any(labelled.boxes for part in splits.values() for labelled in part.images):
        raise DatasetError("no usable box in it", location=str(folder), remedy=summary_of(rejected))
    if "val" not in splits:
        whole, how = splits["train"], "val drawn at random"
        halves = hold_out(list(whole.images), val, seed, str(folder))
        splits = splits | {split: whole.select(half) for split, half in zip(SPLITS, halves, strict=False)}
        splits = {split: splits[split] for split in SPLITS if split in splits}
    for split, part in splits.items():
        if not part.images:
            raise DatasetError(f"no usable image in split {split}", location=str(folder), remedy=summary_of(rejected))
    counts = ", ".join(f"{split} {len(part.images)}" for split, part in splits.items())
    return Imported(YoloSet.from_splits(splits, names, rejected), (f"{counts} images, {how}", *remarks))
