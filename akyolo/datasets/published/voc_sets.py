"""Pascal VOC's published sets: folders and a list of stems -> `Readout`. (`imported/voc.py` reads those of users.)

Difficult objects are not trained on, as in YOLOv5 and before; the truth keeps them, to be ignored in the evaluation.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from akyolo.datasets.formats.annotations import Box, Corners, Picture, Rejection, UnusableError
from akyolo.datasets.formats.images import shown_size
from akyolo.datasets.formats.split import (
    DIFFICULT,
    Readout,
    add_once,
    annotation_entry,
    by_stem,
    categories,
    check_class,
    image_entry,
)
from akyolo.datasets.formats.voc import BoxRule, parse_annotation, place
from akyolo.errors import DatasetError

Sources = Sequence[tuple[Path, Path, Path | None]]  # folders of images and of XML files, a list of stems


def read_voc(sources: Sources, rule: BoxRule, names: tuple[str, ...]) -> Readout:
    """Read one split; images are numbered from 1 by their stems.

    Raises:
        DatasetError: a folder or list that is not there, or a stem that two sources have.
    """
    pairs: dict[str, tuple[Path | None, Path | None]] = {}
    for images, annotations, stems in sources:
        found, xmls = by_stem(images), by_stem(annotations, frozenset({".xml"}))
        for stem in _stems(stems) if stems else sorted(found.keys() | xmls.keys()):
            if stem in pairs:
                raise DatasetError(f"{stem} stands twice", location=str(stems or images))
            pairs[stem] = found.get(stem), xmls.get(stem)
    rejected: list[Rejection] = []
    pictures: list[Picture] = []
    images_json: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    for number, stem in enumerate(sorted(pairs), start=1):
        try:
            picture, objects = _read(stem, *pairs[stem], rule, names, rejected)
        except UnusableError as error:
            rejected.append(Rejection(f"{stem}.xml", str(error)))
            continue
        pictures.append(picture)
        images_json.append(image_entry(number, picture))
        for name, corners, difficult in objects:
            flags = {"difficult": int(difficult), "ignore": int(difficult)}
            entries.append(annotation_entry(len(entries) + 1, number, names.index(name) + 1, corners, **flags))
    truth = {"images": images_json, "annotations": entries, "categories": categories(names)}
    return Readout(tuple(pictures), truth, tuple(rejected))


def _stems(file: Path) -> list[str]:
    try:
        return [line.split()[0] for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"the list cannot be read: {error}", location=str(file)) from error


def _read(
    stem: str, image: Path | None, xml: Path | None, rule: BoxRule, names: tuple[str, ...], rejected: list[Rejection]
) -> tuple[Picture, list[tuple[str, Corners, bool]]]:
    """One image: what is trained on, and all its usable objects as (class, corners in pixels, difficult)."""
    if image is None or xml is None:
        raise UnusableError(f"is listed, but its {'image' if image is None else 'annotation'} is not there")
    annotation, size = parse_annotation(xml.read_bytes()), shown_size(image)
    if rule == "paper" and annotation.size is None:
        raise UnusableError("no usable <size>, by which the paper's boxes are divided")
    boxes: list[Box] = []
    objects: list[tuple[str, Corners, bool]] = []
    for one in annotation.objects:
        try:
            if fault := check_class(one.name, names):
                raise UnusableError(fault)
            corners, label = place(one, size, annotation.size if rule == "paper" else None)
            objects.append((one.name, corners, one.difficult))
            if one.difficult:
                raise UnusableError(DIFFICULT)
            add_once(boxes, Box(one.name, label))
        except UnusableError as error:
            rejected.append(Rejection(f"{stem}.xml", str(error), one.label, one.raw_box))
    return Picture(image, size, tuple(boxes)), objects
