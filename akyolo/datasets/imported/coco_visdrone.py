"""What users bring in COCO's or VisDrone's format: find the files, see which split they are, read them.

(`imported/voc.py` does it for Pascal VOC, whose splits are lists.) The folder is only ever read.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from akyolo.datasets.formats.annotations import UnusableError, composed, summary_of
from akyolo.datasets.formats.coco import read_coco
from akyolo.datasets.formats.images import images_below
from akyolo.datasets.formats.split import Readout
from akyolo.datasets.formats.visdrone import read_visdrone
from akyolo.datasets.published.spec import find_spec
from akyolo.datasets.yolo.layout import Imported, YoloSet
from akyolo.datasets.yolo.splits import SPLITS, hold_out
from akyolo.errors import DatasetError

SPLIT_WORD = re.compile(r"(?<![a-z])(train|val|test)(?:id|idation|ing)?(?![a-z])")
REMEDY = "Files or folders named train, val, test say which split they are; one alone is split at random."


def import_coco(folder: Path, val: float = 0.2, seed: int = 0) -> Imported:
    """Read a folder with one JSON file a split, such as annotations/instances_train2017.json or train/coco.json.

    Images may lie anywhere below the folder.

    Args:
        folder: see above.
        val: the share of the training images that is held out where no file is a validation set.
        seed: of that draw.

    Raises:
        DatasetError: the folder as a whole cannot be used. A single bad image or annotation is rejected instead.
    """
    if not folder.is_dir():
        raise DatasetError("no such folder", location=str(folder))
    files = [file for pattern in ("*.json", "*/*.json", "*/*/*.json") for file in sorted(folder.glob(pattern))]
    files = [file for file in files if file.name.startswith("instances")] or files  # COCO's captions lie beside them
    images: dict[str, list[Path]] = {}
    for image in images_below(folder):
        images.setdefault(composed(image.name), []).append(image)
    readouts, names = {}, {}
    for split, file in _by_split(files, folder, lambda file: (file.stem, file.parent.name)).items():
        readouts[split], names[file] = read_coco(file, _finder(images, file, split))
    (first, expected), *others = names.items()
    for file, found in others:
        if found != expected:
            raise DatasetError(f"has other classes than {first.name}: {', '.join(found)}", location=str(file))
    return _assemble(readouts, expected, folder, val, seed)


def import_visdrone(folder: Path, val: float = 0.2, seed: int = 0) -> Imported:
    """Read a folder with images/ and annotations/ in it, or in folders such as VisDrone2019-DET-train below it.

    Args and Raises: as `import_coco`.
    """
    candidates = [folder, *(child for child in sorted(folder.iterdir()) if child.is_dir())]
    candidates += [child for one in candidates[1:] for child in sorted(one.iterdir()) if child.is_dir()]
    found = [one for one in candidates if (one / "images").is_dir() and (one / "annotations").is_dir()]
    splits = _by_split(found, folder, lambda one: (one.name,))
    names = find_spec("visdrone").names
    readouts = {split: read_visdrone(one / "images", one / "annotations", names) for split, one in splits.items()}
    return _assemble(readouts, names, folder, val, seed)


def _split_of(words: tuple[str, ...]) -> str | None:
    for word in words:
        if found := set(SPLIT_WORD.findall(word.lower())):
            return found.pop() if len(found) == 1 else None
    return None


def _by_split(found: list[Path], folder: Path, words: Callable[[Path], tuple[str, ...]]) -> dict[str, Path]:
    """Split -> its file or folder."""
    if not found:
        raise DatasetError("no annotations found", location=str(folder), remedy=REMEDY)
    if len(found) == 1:
        return {"train": found[0]}
    splits: dict[str, Path] = {}
    for one in found:
        split = _split_of(words(one))
        if split is None or split in splits:
            what = f"{one} is of no split that its name tells" if split is None else f"two are of {split}: {one}"
            raise DatasetError(what, location=str(folder), remedy=REMEDY)
        splits[split] = one
    if "train" not in splits:
        raise DatasetError(f"nothing to train on, only {' and '.join(splits)}", location=str(folder), remedy=REMEDY)
    return {split: splits[split] for split in SPLITS if split in splits}


def _finder(images: Mapping[str, list[Path]], file: Path, split: str) -> Callable[[str], Path | None]:
    """The way from a `file_name` to an image: by its whole path as far as it goes, then the one that is nearest."""

    def find(name: str) -> Path | None:
        parts = tuple(part for part in re.split(r"[\\/]", composed(name)) if part not in {"", ".", ".."})
        same_name = images.get(parts[-1] if parts else "", [])
        found = [one for one in same_name if Path(composed(str(one))).parts[-len(parts) :] == parts] or same_name
        for nearer in (lambda one: one.is_relative_to(file.parent), lambda one: _split_of(one.parts[-2:-1]) == split):
            if len(found) > 1:
                found = [one for one in found if nearer(one)] or found
        if len(found) > 1:
            raise UnusableError(f"{len(found)} images have this name")
        return found[0] if found else None

    return find


def _assemble(readouts: dict[str, Readout], names: tuple[str, ...], folder: Path, val: float, seed: int) -> Imported:
    rejected = tuple(one for readout in readouts.values() for one in readout.rejected)
    remarks = tuple(remark for readout in readouts.values() for remark in readout.remarks)
    how = "as their names say"
    if not any(picture.boxes for readout in readouts.values() for picture in readout.pictures):
        raise DatasetError("no usable box in it", location=str(folder), remedy=summary_of(rejected))
    if "val" not in readouts:
        whole, how = readouts["train"], "val drawn at random"
        halves = hold_out(list(whole.pictures), val, seed, str(folder))
        readouts = {**readouts, **{split: whole.part(half) for split, half in zip(SPLITS, halves, strict=False)}}
        readouts = {split: readouts[split] for split in SPLITS if split in readouts}
    for split, readout in readouts.items():
        if not readout.pictures:
            raise DatasetError(f"no usable image in split {split}", location=str(folder), remedy=summary_of(rejected))
    counts = ", ".join(f"{split} {len(readout.pictures)}" for split, readout in readouts.items())
    content = YoloSet(
        {split: one.pictures for split, one in readouts.items()},
        names,
        rejected,
        {split: one.truth for split, one in readouts.items()},
    )
    return Imported(content, (f"{counts} images, {how}", *remarks))
