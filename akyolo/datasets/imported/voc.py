"""A folder of Pascal VOC data -> `Imported`: find the files, pair them by stem, read them, split them.

Known layouts: JPEGImages, Annotations and ImageSets/Main in the folder or up to two levels below it, or a flat folder
with each XML beside its image. The folder is only ever read.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from akyolo.datasets.formats.annotations import Rejection, UnusableError, composed, summary_of
from akyolo.datasets.formats.images import IMAGE_SUFFIXES
from akyolo.datasets.formats.voc import BoxRule, Reading, read_picture
from akyolo.datasets.yolo.layout import Imported, YoloSet
from akyolo.datasets.yolo.splits import SPLITS, assign, group, hold_out, read_lists
from akyolo.errors import ConfigError, DatasetError, did_you_mean

LAYOUTS = (
    "Expected JPEGImages/ and Annotations/ (and, for given splits, ImageSets/Main/) in it or below it, "
    "or each XML beside its image."
)


@dataclass(frozen=True)
class VocTree:
    """Where the files are: by key (the stem); `lists` is ImageSets/Main if there is one.

    `doubtful` holds, by key as well, the files of which two have the same stem: nobody can say which is meant.
    """

    root: Path
    images: dict[str, Path]
    annotations: dict[str, Path]
    lists: Path | None
    doubtful: dict[str, tuple[Path, ...]]

    def relative(self, file: Path) -> str:
        """How reports name a file of the tree."""
        return file.relative_to(self.root).as_posix()


def find_tree(folder: Path) -> VocTree:
    """Find the VOC files in `folder`.

    Raises:
        DatasetError: there are none, or several trees.
    """
    if not folder.is_dir():
        raise DatasetError("no such folder", location=str(folder))
    level = [folder]
    for _ in range(3):
        trees = [one for one in level if (one / "JPEGImages").is_dir() and (one / "Annotations").is_dir()]
        if len(trees) > 1:
            names = ", ".join(one.relative_to(folder).as_posix() for one in trees)
            raise DatasetError(f"holds several VOC trees: {names}", location=str(folder), remedy="Name one of them.")
        if trees:
            return _index(folder, trees[0] / "JPEGImages", trees[0] / "Annotations", trees[0] / "ImageSets" / "Main")
        level = [child for one in level for child in sorted(one.iterdir()) if child.is_dir()]
    if any(child.suffix.lower() == ".xml" for child in folder.iterdir()):
        return _index(folder, folder, folder, folder / "ImageSets" / "Main")
    raise DatasetError("no VOC annotations found", location=str(folder), remedy=LAYOUTS)


def _index(root: Path, images: Path, annotations: Path, lists: Path) -> VocTree:
    found = _by_key(images, IMAGE_SUFFIXES), _by_key(annotations, frozenset({".xml"}))
    doubtful = {
        key: tuple(file for files in found for file in files.get(key, ()))
        for key in sorted(found[0].keys() | found[1].keys())
        if any(len(files.get(key, ())) > 1 for files in found)
    }
    sole = [{key: files[0] for key, files in one.items() if key not in doubtful} for one in found]
    return VocTree(root, sole[0], sole[1], lists if lists.is_dir() else None, doubtful)


def _by_key(folder: Path, suffixes: frozenset[str]) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        if not file.name.startswith(".") and file.suffix.lower() in suffixes and file.is_file():
            files.setdefault(composed(file.stem), []).append(file)
    return files


def _key_of_line(line: str, known: Collection[str]) -> str:
    """The key meant by one line of a split list: `stem`, `stem.jpg`, or VOC's `stem  1`."""
    line = composed(line)
    file = Path(line)
    for candidate in (line, file.stem if file.suffix.lower() in IMAGE_SUFFIXES else line, line.split()[0]):
        if candidate in known:
            return candidate
    return line


def import_voc(
    folder: Path, rule: BoxRule = "exact", names: tuple[str, ...] | None = None, val: float = 0.2, seed: int = 0
) -> Imported:
    """Read a folder of VOC data.

    Args:
        folder: see the head of this file.
        rule: how boxes become labels: `exact`, or as in the `paper`.
        names: the classes to keep, in this order; None for all, alphabetically.
        val: the share of the training images that is held out where no list names a validation set.
        seed: of that draw.

    Raises:
        DatasetError: the folder as a whole cannot be used. A single bad file or object is rejected instead.
        ConfigError: a class in `names` never occurs.
    """
    tree = find_tree(folder.resolve())
    known = tree.images.keys() | tree.annotations.keys() | tree.doubtful.keys()
    lists = read_lists(tree.lists, lambda line: _key_of_line(line, known)) if tree.lists else {}
    split_of = assign(lists, str(tree.lists)) if lists else dict.fromkeys(known, "train")
    readings, rejected = _read(tree, split_of, rule, names)
    met = {name for one in readings.values() for name in one.names}
    _check_names(names or (), met, folder)
    if not any(one.picture.boxes for one in readings.values()):
        raise DatasetError("no usable box in it", location=str(folder), remedy=summary_of(rejected))
    splits = group((split_of[key], one.picture) for key, one in readings.items())
    how = "as listed in ImageSets/Main" if lists else "drawn at random"
    if "val" not in split_of.values():
        splits["train"], splits["val"] = hold_out(splits.get("train", []), val, seed, str(folder))
        how = "val drawn at random from the listed training images" if lists else how
    for split in sorted(set(split_of.values()) - splits.keys()):
        raise DatasetError(f"no usable image in split {split}", location=str(folder), remedy=summary_of(rejected))
    splits = {split: splits[split] for split in SPLITS if split in splits}
    counts = ", ".join(f"{split} {len(pictures)}" for split, pictures in splits.items())
    content = YoloSet(splits, names or tuple(sorted(met)), tuple(rejected))
    return Imported(content, (f"{counts} images, {how}", *_remarks(tree, readings)))


def _check_names(names: tuple[str, ...], met: set[str], folder: Path) -> None:
    """Refuse a class that never occurs; it is more likely misspelt than wanted."""
    for name in names:
        if met and name not in met:
            what = f"no object of class {name!r} in {folder}"
            raise ConfigError(what, location="--names", remedy=did_you_mean(name, met))


def _read(
    tree: VocTree, split_of: dict[str, str], rule: BoxRule, names: tuple[str, ...] | None
) -> tuple[dict[str, Reading], list[Rejection]]:
    """Read every picture that has a split: (readings by key, all that is left out)."""
    readings: dict[str, Reading] = {}
    rejected: list[Rejection] = []
    for key in sorted(tree.images.keys() | tree.annotations.keys() | tree.doubtful.keys() | split_of.keys()):
        if key in tree.doubtful:
            names_there = ", ".join(file.name for file in tree.doubtful[key])
            reason = f"{names_there} share one stem, which should name one image and its annotation"
            rejected.extend(Rejection(tree.relative(file), reason) for file in tree.doubtful[key])
            continue
        file = next((tree.relative(by_key[key]) for by_key in (tree.annotations, tree.images) if key in by_key), key)
        try:
            image, xml = _pair(tree, key, split_of)
            readings[key] = read_picture(image, xml, file, rule, names)
        except UnusableError as error:
            rejected.append(Rejection(file, str(error)))
        else:
            rejected.extend(readings[key].rejected)
    return readings, rejected


def _pair(tree: VocTree, key: str, split_of: dict[str, str]) -> tuple[Path, Path]:
    """Image and annotation of one key, both of which must be there and wanted by a split."""
    image, xml = tree.images.get(key), tree.annotations.get(key)
    if image is None:
        raise UnusableError("no image with this stem" if xml else f"listed in {split_of[key]}, but not there")
    if xml is None:
        raise UnusableError("no annotation file; an image without objects needs one that says so")
    if key not in split_of:
        raise UnusableError("in no split list of ImageSets/Main")
    return image, xml


def _remarks(tree: VocTree, readings: dict[str, Reading]) -> list[str]:
    """What was kept, but deserves a look."""
    remarks = []
    if clipped := sum(one.clipped for one in readings.values()):
        remarks.append(f"{clipped} boxes reached outside their image and were clipped to it")
    if odd := [key for key, one in readings.items() if one.odd_size]:
        first = tree.relative(tree.annotations[odd[0]])
        remarks.append(f"<size> in {len(odd)} annotations differs from the image (first: {first}); check those boxes")
    return remarks
