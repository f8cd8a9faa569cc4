"""Read Pascal VOC images with their XML files.

Published data sets and those of users are read by the same functions. Difficult objects are kept in the ground truth,
to be ignored in the evaluation. `LabelRules` says whether they get a label.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from akyolo.datasets.formats.annotations import Box, Corners, LabelledImage, Rejection, UnusableError
from akyolo.datasets.formats.images import shown_size
from akyolo.datasets.formats.split import (
    DIFFICULT,
    SplitAnnotations,
    add_once,
    annotation_entry,
    category_entries,
    files_by_stem,
    image_entry,
)
from akyolo.datasets.formats.voc_xml import BoxRule, VocObject, convert_box, exact_corners, parse_annotation
from akyolo.errors import DatasetError, did_you_mean

Sources = Sequence[tuple[Path, Path, Path | None]]  # folders of images and of XML files, and a list of stems


@dataclass(frozen=True)
class LabelRules:
    """Which objects get a label, and how.

    Attributes:
        boxes: `exact`, or as in the `paper` (YOLOv5's VOC script).
        class_fault: returns why objects of a class are left out, or "" if they are not.
        difficult: whether difficult objects get a label.
        repeated: whether a box that an image has twice gets a second label.
    """

    boxes: BoxRule
    class_fault: Callable[[str], str]
    difficult: bool
    repeated: bool


@dataclass(frozen=True)
class GroundTruthObject:
    """One object that the evaluation reads.

    Attributes:
        name: the class name.
        xyxy_px: (x1, y1, x2, y2) in pixels of the image.
        difficult: whether the evaluation ignores it.
    """

    name: str
    xyxy_px: Corners
    difficult: bool


@dataclass(frozen=True)
class VocImage:
    """One image with its XML file, read once.

    Attributes:
        labelled: the image with the boxes that are trained on.
        objects: the objects for the evaluation.
        rejected: what gets no label.
        clipped: how many labels reached outside the image.
        other_size: whether `<size>` differs from the size of the image.
        names: all class names in the file, usable or not.
    """

    labelled: LabelledImage
    objects: tuple[GroundTruthObject, ...]
    rejected: tuple[Rejection, ...]
    clipped: int
    other_size: bool
    names: frozenset[str]


def read_image(image: Path, xml: Path, file: str, rules: LabelRules) -> VocImage:
    """Read one image and its XML file.

    Args:
        image: the image file.
        xml: its annotation.
        file: the name of the annotation in reports.
        rules: which objects get a label.

    Raises:
        UnusableError: The image or the annotation as a whole cannot be used.
    """
    try:
        annotation = parse_annotation(xml.read_bytes())
    except OSError as error:
        raise UnusableError(f"annotation cannot be read: {error.strerror}") from error
    size = shown_size(image)
    if rules.boxes == "paper" and annotation.size is None:
        raise UnusableError("no usable <size>, by which the paper's boxes are divided")
    paper_size = annotation.size if rules.boxes == "paper" else None
    boxes: list[Box] = []
    objects: list[GroundTruthObject] = []
    rejected: list[Rejection] = []
    clipped = 0
    for voc_object in annotation.objects:
        try:
            corners_voc = _usable_corners(voc_object, rules)
            xyxy_px, label = convert_box(corners_voc, size, paper_size)
            objects.append(GroundTruthObject(voc_object.name, xyxy_px, voc_object.difficult))
            if voc_object.difficult and not rules.difficult:
                raise UnusableError(DIFFICULT)
            box = Box(voc_object.name, label)
            if rules.repeated:
                boxes.append(box)
            else:
                add_once(boxes, box)
        except UnusableError as error:
            rejected.append(Rejection(file, str(error), voc_object.label, voc_object.raw_box))
            continue
        clipped += paper_size is None and xyxy_px != exact_corners(corners_voc)
    names = frozenset(voc_object.name for voc_object in annotation.objects if voc_object.name)
    labelled = LabelledImage(image, size, tuple(boxes))
    return VocImage(labelled, tuple(objects), tuple(rejected), clipped, annotation.size not in (None, size), names)


def _usable_corners(voc_object: VocObject, rules: LabelRules) -> Corners:
    """Return the corners of a usable object."""
    if voc_object.xyxy_voc is None:
        raise UnusableError(voc_object.fault)
    if fault := rules.class_fault(voc_object.name):
        raise UnusableError(fault)
    return voc_object.xyxy_voc


def split_annotations(
    images: Sequence[VocImage], names: Sequence[str], rejected: Sequence[Rejection] = ()
) -> SplitAnnotations:
    """Return the annotations of a split.

    Args:
        images: the images of the split; they are numbered from 1 in this order.
        names: the class names by class index.
        rejected: what was left out of this split.
    """
    entries: list[dict[str, Any]] = []
    category_ids = {name: number for number, name in enumerate(names, start=1)}
    for image_id, image in enumerate(images, start=1):
        for item in image.objects:
            flags = {"difficult": int(item.difficult), "ignore": int(item.difficult)}
            category_id = category_ids[item.name]
            entries.append(annotation_entry(len(entries) + 1, image_id, category_id, item.xyxy_px, **flags))
    ground_truth = {
        "images": [image_entry(image_id, image.labelled) for image_id, image in enumerate(images, start=1)],
        "annotations": entries,
        "categories": category_entries(names),
    }
    return SplitAnnotations(tuple(image.labelled for image in images), ground_truth, tuple(rejected))


def read_voc(sources: Sources, boxes: BoxRule, names: tuple[str, ...]) -> SplitAnnotations:
    """Read one split of a published data set.

    Difficult objects get no label, as in YOLOv5 and before.

    Args:
        sources: folders of images and of XML files, and the list of stems if not all are taken.
        boxes: how boxes become labels.
        names: all class names.

    Raises:
        DatasetError: A folder or a list does not exist, or two sources share a stem.
    """
    rules = LabelRules(boxes, lambda name: _unknown_class(name, names), difficult=False, repeated=False)
    rejected: list[Rejection] = []
    images: list[VocImage] = []
    for stem, (image, xml) in sorted(_files_of(sources).items()):
        try:
            if image is None or xml is None:
                missing = "image" if image is None else "annotation"
                raise UnusableError(f"is listed, but its {missing} does not exist")
            images.append(read_image(image, xml, f"{stem}.xml", rules))
            rejected.extend(images[-1].rejected)
        except UnusableError as error:
            rejected.append(Rejection(f"{stem}.xml", str(error)))
    return split_annotations(images, names, rejected)


def _unknown_class(name: str, names: tuple[str, ...]) -> str:
    """Say that a class is unknown, if it is."""
    return "" if name in names else f"unknown class {name!r}; {did_you_mean(name, names)}"


def _files_of(sources: Sources) -> dict[str, tuple[Path | None, Path | None]]:
    """Return image and XML file by stem."""
    pairs: dict[str, tuple[Path | None, Path | None]] = {}
    for image_folder, xml_folder, stems in sources:
        images, annotations = files_by_stem(image_folder), files_by_stem(xml_folder, frozenset({".xml"}))
        for stem in _read_stems(stems) if stems else sorted(images.keys() | annotations.keys()):
            if stem in pairs:
                raise DatasetError(f"stem {stem} is there twice", location=str(stems or image_folder))
            pairs[stem] = images.get(stem), annotations.get(stem)
    return pairs


def _read_stems(file: Path) -> list[str]:
    """Return the stems of a list."""
    try:
        return [line.split()[0] for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"the list cannot be read: {error}", location=str(file)) from error
