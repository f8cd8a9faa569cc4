"""Import a folder of Pascal VOC data.

Its files are found, paired by stem, read and split.

Supported layouts: JPEGImages, Annotations and ImageSets/Main in the folder or up to two levels below it, or a flat
folder with each XML file next to its image. The folder is only read.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from akyolo.datasets.formats.annotations import Rejection, UnusableError, composed, summary_of
from akyolo.datasets.formats.images import IMAGE_SUFFIXES
from akyolo.datasets.formats.voc import LabelRules, VocImage, read_image, split_annotations
from akyolo.datasets.formats.voc_xml import BoxRule
from akyolo.datasets.yolo.layout import Imported, YoloSet
from akyolo.datasets.yolo.splits import SPLITS, assign, group, hold_out, read_lists
from akyolo.errors import ConfigError, DatasetError, did_you_mean

LAYOUTS = (
    "Expected JPEGImages/ and Annotations/ (and, for given splits, ImageSets/Main/) in it or below it, "
    "or each XML next to its image."
)


@dataclass(frozen=True)
class VocTree:
    """The files of a VOC folder by stem.

    Attributes:
        root: the folder that the user named.
        images: the image by key.
        annotations: the XML file by key.
        lists: the folder ImageSets/Main, if it exists.
        ambiguous: files by key, where two share one stem: it is not known which of them belong together.
    """

    root: Path
    images: dict[str, Path]
    annotations: dict[str, Path]
    lists: Path | None
    ambiguous: dict[str, tuple[Path, ...]]

    def relative(self, file: Path) -> str:
        """Return the name of a file in reports."""
        return file.relative_to(self.root).as_posix()

    def keys(self) -> set[str]:
        """Return all stems in the folder."""
        return self.images.keys() | self.annotations.keys() | self.ambiguous.keys()


def find_tree(folder: Path) -> VocTree:
    """Find the VOC files in a folder.

    Raises:
        DatasetError: There are none, or several trees.
    """
    if not folder.is_dir():
        raise DatasetError("no such folder", location=str(folder))
    level = [folder]
    for _ in range(3):
        trees = [path for path in level if (path / "JPEGImages").is_dir() and (path / "Annotations").is_dir()]
        if len(trees) > 1:
            names = ", ".join(tree.relative_to(folder).as_posix() for tree in trees)
            raise DatasetError(f"holds several VOC trees: {names}", location=str(folder), remedy="Name one of them.")
        if trees:
            return _index(folder, trees[0] / "JPEGImages", trees[0] / "Annotations", trees[0] / "ImageSets" / "Main")
        level = [child for path in level for child in sorted(path.iterdir()) if child.is_dir()]
    if any(child.suffix.lower() == ".xml" for child in folder.iterdir()):
        return _index(folder, folder, folder, folder / "ImageSets" / "Main")
    raise DatasetError("no VOC annotations found", location=str(folder), remedy=LAYOUTS)


def _index(root: Path, images: Path, annotations: Path, lists: Path) -> VocTree:
    """List the files of both folders by key."""
    image_files, xml_files = _files_by_key(images, IMAGE_SUFFIXES), _files_by_key(annotations, frozenset({".xml"}))
    ambiguous = {
        key: (*image_files.get(key, ()), *xml_files.get(key, ()))
        for key in sorted(image_files.keys() | xml_files.keys())
        if any(len(files.get(key, ())) > 1 for files in (image_files, xml_files))
    }
    unique_images, unique_xmls = (
        {key: paths[0] for key, paths in files.items() if key not in ambiguous} for files in (image_files, xml_files)
    )
    return VocTree(root, unique_images, unique_xmls, lists if lists.is_dir() else None, ambiguous)


def _files_by_key(folder: Path, suffixes: frozenset[str]) -> dict[str, list[Path]]:
    """Return files by their composed stem."""
    files: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        if not file.name.startswith(".") and file.suffix.lower() in suffixes and file.is_file():
            files.setdefault(composed(file.stem), []).append(file)
    return files


def _key_of_line(line: str, keys: Collection[str]) -> str:
    """Return the key in one line.

    A line is `stem`, `stem.jpg`, or VOC's `stem  1`.
    """
    line = composed(line)
    file = Path(line)
    for candidate in (line, file.stem if file.suffix.lower() in IMAGE_SUFFIXES else line, line.split()[0]):
        if candidate in keys:
            return candidate
    return line


def import_voc(
    folder: Path, boxes: BoxRule = "exact", names: tuple[str, ...] | None = None, val: float = 0.2, seed: int = 0
) -> Imported:
    """Read a folder of VOC data.

    Args:
        folder: the folder, in one of the layouts above.
        boxes: how boxes become labels: `exact`, or as in the `paper`, without difficult objects.
        names: the classes to keep, in this order; None keeps all, alphabetically.
        val: the share of the training images that is held out where no list names a validation set.
        seed: the seed of that draw.

    Raises:
        DatasetError: The folder as a whole cannot be used. A single bad file or object is rejected instead.
        ConfigError: A class in `names` never occurs.
    """
    tree = find_tree(folder.resolve())
    keys = tree.keys()
    lists = read_lists(tree.lists, lambda line: _key_of_line(line, keys)) if tree.lists else {}
    split_of = assign(lists, str(tree.lists)) if lists else dict.fromkeys(keys, "train")
    rules = LabelRules(boxes, lambda name: _unselected(name, names), difficult=boxes == "exact", repeated=True)
    images, rejected = _read(tree, split_of, rules)
    occurring = {name for image in images.values() for name in image.names}
    _check_names(names or (), occurring, folder)
    if not any(image.labelled.boxes for image in images.values()):
        raise DatasetError("no usable box in it", location=str(folder), remedy=summary_of(rejected))
    splits = group((split_of[key], image) for key, image in images.items())
    how = "as listed in ImageSets/Main" if lists else "drawn at random"
    if "val" not in split_of.values():
        splits["train"], splits["val"] = hold_out(splits.get("train", []), val, seed, str(folder))
        how = "val drawn at random from the listed training images" if lists else how
    for split in sorted(set(split_of.values()) - splits.keys()):
        raise DatasetError(f"no usable image in split {split}", location=str(folder), remedy=summary_of(rejected))
    names = names or tuple(sorted(occurring))
    annotations = {split: split_annotations(splits[split], names) for split in SPLITS if split in splits}
    counts = ", ".join(f"{split} {len(part.images)}" for split, part in annotations.items())
    content = YoloSet.from_splits(annotations, names, rejected)
    return Imported(content, (f"{counts} images, {how}", *_remarks(tree, images)))


def _unselected(name: str, names: tuple[str, ...] | None) -> str:
    """Say that a class is not selected, if so."""
    return "" if names is None or name in names else f"class {name!r} is not among the names asked for"


def _check_names(names: tuple[str, ...], occurring: set[str], folder: Path) -> None:
    """Refuse a class that never occurs."""
    for name in names:
        if occurring and name not in occurring:
            what = f"no object of class {name!r} in {folder}"
            raise ConfigError(what, location="--names", remedy=did_you_mean(name, occurring))


def _read(tree: VocTree, split_of: dict[str, str], rules: LabelRules) -> tuple[dict[str, VocImage], list[Rejection]]:
    """Return images by key, and rejections."""
    images: dict[str, VocImage] = {}
    rejected: list[Rejection] = []
    for key in sorted(tree.keys() | split_of.keys()):
        if key in tree.ambiguous:
            file_names = ", ".join(file.name for file in tree.ambiguous[key])
            reason = f"{file_names} share one stem, which should name one image and its annotation"
            rejected.extend(Rejection(tree.relative(file), reason) for file in tree.ambiguous[key])
            continue
        file = next((tree.relative(by_key[key]) for by_key in (tree.annotations, tree.images) if key in by_key), key)
        try:
            image, xml = _pair(tree, key, split_of)
            images[key] = read_image(image, xml, file, rules)
        except UnusableError as error:
            rejected.append(Rejection(file, str(error)))
        else:
            rejected.extend(images[key].rejected)
    return images, rejected


def _pair(tree: VocTree, key: str, split_of: dict[str, str]) -> tuple[Path, Path]:
    """Return image and annotation of a key."""
    image, xml = tree.images.get(key), tree.annotations.get(key)
    if image is None:
        raise UnusableError("no image with this stem" if xml else f"listed in {split_of[key]}, but not there")
    if xml is None:
        raise UnusableError("no annotation file; an image without objects needs one that says so")
    if key not in split_of:
        raise UnusableError("in no split list of ImageSets/Main")
    return image, xml


def _remarks(tree: VocTree, images: dict[str, VocImage]) -> list[str]:
    """Describe what the user should check."""
    remarks = []
    if clipped := sum(image.clipped for image in images.values()):
        remarks.append(f"{clipped} boxes reached outside their image and were clipped to it")
    if other_sizes := [key for key, image in images.items() if image.other_size]:
        first = tree.relative(tree.annotations[other_sizes[0]])
        count = len(other_sizes)
        remarks.append(f"<size> in {count} annotations differs from the image (first: {first}); check those boxes")
    return remarks
