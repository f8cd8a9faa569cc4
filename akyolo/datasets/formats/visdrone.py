"""Read VisDrone's annotations.

There is one text file for an image.

A line is left,top,width,height,score,category,truncation,occlusion, in pixels from 0; some end with another comma.
Category 0 is a region without labels, 11 is any object of no class; score 0 marks boxes that the evaluation ignores.
These are not trained on. The official protocol needs all of them but category 11.
"""

from pathlib import Path
from typing import Any

from akyolo.datasets.formats.annotations import (
    ABSURD,
    DEGENERATE,
    OUTSIDE,
    Box,
    Corners,
    LabelledImage,
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
    SplitAnnotations,
    add_once,
    annotation_entry,
    category_entries,
    files_by_stem,
    image_entry,
)

IGNORED, OTHER = 0, 11  # the categories before and after those of the names, which count from 1


def read_visdrone(images: Path, annotations: Path, names: tuple[str, ...]) -> SplitAnnotations:
    """Read one split.

    Args:
        images: the folder of its images.
        annotations: the folder of its text files, each with the stem of its image.
        names: the names of the categories 1, 2, ...

    Raises:
        DatasetError: A folder does not exist. A single bad file or line is rejected instead.
    """
    image_files, texts = files_by_stem(images), files_by_stem(annotations, frozenset({".txt"}))
    rejected = [Rejection(texts[stem].name, "no image with this stem") for stem in texts.keys() - image_files.keys()]
    labelled: list[LabelledImage] = []
    image_entries: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    regions: list[dict[str, Any]] = []
    for image_id, (stem, image) in enumerate(image_files.items(), start=1):
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
                    regions.append({"image_id": image_id, "bbox": fields[:4]})
                elif fields[5] != OTHER:
                    entries.append(_entry(fields, len(entries) + 1, image_id))
                label = _label(fields, size)
                add_once(boxes, Box(names[fields[5] - 1], label))
            except UnusableError as error:
                rejected.append(Rejection(texts[stem].name, str(error), f"line {line_number}", line))
        labelled.append(LabelledImage(image, size, tuple(boxes)))
        image_entries.append(image_entry(image_id, labelled[-1]))
    ground_truth = {
        "images": image_entries,
        "annotations": entries,
        "categories": category_entries(names),
        "ignored_regions": regions,
    }
    in_order = sorted(rejected, key=lambda rejection: rejection.file)
    return SplitAnnotations(tuple(labelled), ground_truth, tuple(in_order))


def _fields(line: str, classes: int) -> list[int]:
    """Return the eight numbers of a line."""
    try:
        fields = [int(text) for text in line.strip().removesuffix(",").split(",")]
    except ValueError:
        raise UnusableError("holds something that is not a whole number") from None
    if len(fields) != 8:
        raise UnusableError(f"{len(fields)} numbers, 8 are expected")
    if max(map(abs, fields)) > ABSURD:
        raise UnusableError("holds a number that is far too large")
    if not 0 <= fields[5] <= OTHER or classes < fields[5] < OTHER:
        raise UnusableError(f"category {fields[5]} is not one of 0 to {classes} and 11")
    return fields


def _entry(fields: list[int], annotation_id: int, image_id: int) -> dict[str, Any]:
    """Return COCO's entry for one line."""
    left, top, width, height, score, category, truncation, occlusion = fields
    more = {"ignore": int(score == 0), "score": score, "truncation": truncation, "occlusion": occlusion}
    xyxy_px = (left, top, left + width, top + height)
    return annotation_entry(annotation_id, image_id, category, xyxy_px, **more)


def _label(fields: list[int], size: tuple[int, int]) -> Corners:
    """Return the label as fractions; raise if there is none."""
    left, top, width, height, score, category, *_ = fields
    for applies, reason in ((category == IGNORED, REGION), (category == OTHER, OTHERS), (score == 0, UNSCORED)):
        if applies:
            raise UnusableError(reason)
    if width <= 0 or height <= 0:
        raise UnusableError(DEGENERATE)
    inside = clip((left, top, left + width, top + height), size)
    if inside is None:
        raise UnusableError(f"{OUTSIDE} of {size[0]}x{size[1]} pixels")
    return normalise(inside, size)
