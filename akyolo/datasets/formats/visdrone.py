"""VisDrone's annotations: one text file for an image -> `Readout`.

A line is left,top,width,height,score,category,truncation,occlusion, in pixels from 0; some end with another comma.
Category 0 is a region that nobody labelled, 11 whatever is no class; score 0 marks boxes that the evaluation ignores.
None of these are trained on; the official protocol needs all but 11.
"""

from pathlib import Path
from typing import Any

from akyolo.datasets.formats.annotations import (
    ABSURD,
    DEGENERATE,
    OUTSIDE,
    Box,
    Corners,
    Picture,
    Rejection,
    UnusableError,
    clip,
    normalise,
)
from akyolo.datasets.formats.images import shown_size
from akyolo.datasets.formats.split import (
    OTHERS,
    REGION,
    UNSCORED,
    Readout,
    add_once,
    annotation_entry,
    by_stem,
    categories,
    image_entry,
)

IGNORED, OTHER = 0, 11  # categories around those of the names, which count from 1


def read_visdrone(images: Path, annotations: Path, names: tuple[str, ...]) -> Readout:
    """Read one split.

    Args:
        images: the folder of its images.
        annotations: the folder of its text files, each with the stem of its image.
        names: of the categories 1, 2, ...

    Raises:
        DatasetError: a folder that is not there. A single bad file or line is rejected instead.
    """
    found, texts = by_stem(images), by_stem(annotations, frozenset({".txt"}))
    rejected = [Rejection(texts[stem].name, "no image with this stem") for stem in texts.keys() - found.keys()]
    pictures: list[Picture] = []
    entries: list[dict[str, Any]] = []
    regions: list[dict[str, Any]] = []
    for number, (stem, image) in enumerate(found.items(), start=1):
        try:
            if stem not in texts:
                raise UnusableError("no annotation file; an image without objects needs an empty one")
            size = shown_size(image)
            lines = texts[stem].read_text(encoding="utf-8-sig").splitlines()
        except (UnusableError, UnicodeDecodeError) as error:
            rejected.append(Rejection(image.name, str(error)))
            continue
        boxes: list[Box] = []
        for line_number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                fields = _fields(line, len(names))
                if fields[5] == IGNORED:
                    regions.append({"image_id": number, "bbox": fields[:4]})
                elif fields[5] != OTHER:
                    entries.append(_entry(fields, len(entries) + 1, number))
                label = _label(fields, size)
                add_once(boxes, Box(names[fields[5] - 1], label))
            except UnusableError as error:
                rejected.append(Rejection(texts[stem].name, str(error), f"line {line_number}", line))
        pictures.append(Picture(image, size, tuple(boxes)))
    numbers = {stem: number for number, stem in enumerate(found, start=1)}
    truth = {
        "images": [image_entry(numbers[one.image.stem], one) for one in pictures],
        "annotations": entries,
        "categories": categories(names),
        "ignored_regions": regions,
    }
    return Readout(tuple(pictures), truth, tuple(sorted(rejected, key=lambda one: one.file)))


def _fields(line: str, classes: int) -> list[int]:
    try:
        fields = [int(text) for text in line.strip().removesuffix(",").split(",")]
    except ValueError:
        raise UnusableError("holds something that is no whole number") from None
    if len(fields) != 8:
        raise UnusableError(f"{len(fields)} numbers, 8 are expected")
    if max(map(abs, fields)) > ABSURD:
        raise UnusableError("holds a number that is far too large")
    if not 0 <= fields[5] <= OTHER or classes < fields[5] < OTHER:
        raise UnusableError(f"category {fields[5]} is none of 0 to {classes} and 11")
    return fields


def _entry(fields: list[int], number: int, image: int) -> dict[str, Any]:
    left, top, width, height, score, category, truncation, occlusion = fields
    more = {"ignore": int(score == 0), "score": score, "truncation": truncation, "occlusion": occlusion}
    return annotation_entry(number, image, category, (left, top, left + width, top + height), **more)


def _label(fields: list[int], size: tuple[int, int]) -> Corners:
    left, top, width, height, score, category, *_ = fields
    for drop, reason in ((category == IGNORED, REGION), (category == OTHER, OTHERS), (score == 0, UNSCORED)):
        if drop:
            raise UnusableError(reason)
    if width <= 0 or height <= 0:
        raise UnusableError(DEGENERATE)
    inside = clip((left, top, left + width, top + height), size)
    if inside is None:
        raise UnusableError(f"{OUTSIDE} of {size[0]}x{size[1]} pixels")
    return normalise(inside, size)
