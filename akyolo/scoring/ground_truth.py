"""What is really in the images: read from a COCO json or from YOLO label files, in one form for all protocols."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from akyolo.errors import DatasetError, first_line


@dataclass(frozen=True)
class GroundTruth:
    """Labelled objects of I images.

    Args:
        images: their names: of a json `file_name`, of label files the path within the data set.
        sizes: (I, 2) integers, width and height of each in pixels.
        names: of the classes, by index; of a json in the order of their category ids.
        xyxy_px: (B, 4) corners of the objects, in pixels.
        classes: (B,) integers.
        image: (B,) integers, which of `images`.
        area: (B,) square pixels: of the mask, where a json says it, else of the box.
        crowd: (B,) whether it is a group that nobody counted (COCO's iscrowd).
        ignored: (B,) whether it is neither to be found nor to be missed (VOC's difficult, VisDrone's score 0).
        region_xyxy_px: (R, 4) regions in which nothing is scored (VisDrone).
        region_image: (R,) integers, which of `images`.
        sha256: of the label files, one after the other in the order of `images`; of a json, of what is scored, which
            is the same in COCO's own file as in one without its masks.
        ids: (I,) image ids of a json, else None.
        categories: category ids of a json by class, else None.
    """

    images: tuple[str, ...]
    sizes: NDArray[np.integer]
    names: tuple[str, ...]
    xyxy_px: NDArray[np.floating]
    classes: NDArray[np.integer]
    image: NDArray[np.integer]
    area: NDArray[np.floating]
    crowd: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    region_xyxy_px: NDArray[np.floating]
    region_image: NDArray[np.integer]
    sha256: str
    ids: tuple[Any, ...] | None = None
    categories: tuple[Any, ...] | None = None

    def as_one_class(self, name: str) -> "GroundTruth":
        """The same objects, all of one class."""
        return replace(self, classes=np.zeros_like(self.classes), names=(name,))

    def only(self, classes: Sequence[int]) -> "GroundTruth":
        """The same images with the objects of these classes alone."""
        return self._with_objects(np.isin(self.classes, classes))

    def _with_objects(self, kept: NDArray[np.bool_]) -> "GroundTruth":
        columns = ("xyxy_px", "classes", "image", "area", "crowd", "ignored")
        return replace(self, **{name: getattr(self, name)[kept] for name in columns})

    def of(self, images: Sequence[str], location: str) -> "GroundTruth":
        """The part that these images have, in their order; a json knows them by the last part of their name.

        Raises:
            DatasetError: one is unknown here, or two have one name.
        """
        known = {_key(name): index for index, name in enumerate(self.images)}
        keys = [_key(name) for name in images]
        if len(known) < len(self.images) or len(set(keys)) < len(keys):
            raise DatasetError("two of its images have the same name", location=location)
        if unknown := [name for name, key in zip(images, keys, strict=True) if key not in known]:
            raise DatasetError(
                f"is of another data set: {unknown[0]} is none of its {len(self.images)} images", location=location
            )
        chosen = [known[key] for key in keys]
        place = np.full(len(self.images), -1)
        place[chosen] = np.arange(len(chosen))
        part, regions = self._with_objects(place[self.image] >= 0), place[self.region_image] >= 0
        part = replace(
            part,
            images=tuple(images),
            sizes=self.sizes[chosen],
            image=place[part.image],
            region_xyxy_px=self.region_xyxy_px[regions],
            region_image=place[self.region_image][regions],
            ids=self.ids and tuple(self.ids[index] for index in chosen),
        )
        return replace(part, sha256=_checksum(part))


def _key(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).stem


def _checksum(truth: GroundTruth) -> str:
    """SHA-256 of classes, images, objects and regions, in whatever order a file has them."""
    keys = [_key(name) for name in truth.images]
    columns = (truth.classes, truth.xyxy_px, truth.area, truth.crowd, truth.ignored)
    objects = zip((keys[index] for index in truth.image), *(values.tolist() for values in columns), strict=True)
    regions = zip((keys[index] for index in truth.region_image), truth.region_xyxy_px.tolist(), strict=True)
    content = [truth.names, sorted(keys), sorted(objects), sorted(regions)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def from_coco_json(file: Path) -> GroundTruth:
    """Read a COCO json; `ignore`, `difficult` and a list `ignored_regions` beside what COCO itself has.

    Raises:
        DatasetError: it cannot be read, or lacks something.
    """
    try:
        found = json.loads(file.read_bytes())
        images, categories = found["images"], sorted(found["categories"], key=lambda one: one["id"])
        of_image = {one["id"]: index for index, one in enumerate(images)}
        of_class = {one["id"]: index for index, one in enumerate(categories)}
        if len(of_image) < len(images) or len(of_class) < len(categories):
            raise ValueError("two images, or two categories, have one id")
        objects = found["annotations"]
        boxes, regions = _corners(objects), found.get("ignored_regions", ())
        truth = GroundTruth(
            images=tuple(str(one["file_name"]) for one in images),
            sizes=np.array([(one["width"], one["height"]) for one in images], np.int32).reshape(-1, 2),
            names=tuple(str(one["name"]) for one in categories),
            xyxy_px=boxes,
            classes=np.array([of_class[one["category_id"]] for one in objects], np.int32),
            image=np.array([of_image[one["image_id"]] for one in objects], np.int32),
            area=np.array([_area(one) for one in objects], np.float64),
            crowd=np.array([bool(one.get("iscrowd")) for one in objects], bool),
            ignored=np.array([bool(one.get("ignore") or one.get("difficult")) for one in objects], bool),
            region_xyxy_px=_corners(regions),
            region_image=np.array([of_image[one["image_id"]] for one in regions], np.int32),
            sha256="",
            ids=tuple(of_image),
            categories=tuple(of_class),
        )
        if not all(np.isfinite(values).all() for values in (truth.xyxy_px, truth.area, truth.region_xyxy_px)):
            raise ValueError("a box or an area is not finite")
        return replace(truth, sha256=_checksum(truth))
    except (OSError, ValueError) as error:
        raise DatasetError(f"cannot be read as a COCO json: {first_line(error)}", location=str(file)) from None
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        reason = f"is no COCO json of objects ({type(error).__name__}: {first_line(error)})"
        raise DatasetError(reason, location=str(file)) from None


def _area(one: Mapping[str, Any]) -> float:
    area = one.get("area")
    return float(one["bbox"][2] * one["bbox"][3] if area is None else area)


def _corners(annotated: Iterable[Mapping[str, Any]]) -> NDArray[np.floating]:
    ltwh_px = np.array([one["bbox"] for one in annotated], np.float64).reshape(-1, 4)
    return np.concatenate((ltwh_px[:, :2], ltwh_px[:, :2] + ltwh_px[:, 2:]), axis=1)


def from_labels(
    images: Sequence[str], sizes: NDArray[np.integer], files: Sequence[Path], names: Sequence[str]
) -> GroundTruth:
    """Read YOLO label files: `class x y w h` a row, centre and size as fractions, or a polygon in the place of a box.

    Args:
        images: names, in order.
        sizes: (I, 2) integers, width and height of each in pixels.
        files: of each, its label file; one that is not there stands for no objects.
        names: of the classes.

    Raises:
        DatasetError: a row that cannot be read, with its file and number.
    """
    digest, rows, image = hashlib.sha256(), [], []
    for index, file in enumerate(files):
        raw = file.read_bytes() if file.is_file() else b""
        digest.update(raw)
        for number, line in enumerate(raw.decode("utf-8-sig", errors="replace").splitlines(), start=1):
            if line.strip():
                rows.append(_row(line.split(), len(names), f"{file}:{number}"))
                image.append(index)
    # in float32, as YOLO's programs read them
    values = np.array(rows, np.float32).reshape(-1, 5).astype(np.float64)
    which = np.array(image, np.int32)
    wh_px = sizes[which].reshape(-1, 2)
    centre, half = values[:, 1:3] * wh_px, values[:, 3:5] * wh_px / 2
    nothing = np.zeros(len(which), bool)
    return GroundTruth(
        images=tuple(images),
        sizes=sizes,
        names=tuple(names),
        xyxy_px=np.concatenate((centre - half, centre + half), axis=1),
        classes=values[:, 0].astype(np.int32),
        image=which,
        area=4 * half.prod(axis=1),
        crowd=nothing,
        ignored=nothing,
        region_xyxy_px=np.zeros((0, 4)),
        region_image=np.zeros(0, np.int32),
        sha256=digest.hexdigest(),
    )


def _row(words: Sequence[str], classes: int, location: str) -> list[float]:
    try:
        label, *values = map(float, words)
        if not np.isfinite([label, *values]).all() or label not in range(classes):
            raise ValueError(f"class {words[0]} of {classes}")
        if len(values) == 4:
            return [label, *values]
        if len(values) < 6 or len(values) % 2:
            raise ValueError(f"{len(words)} numbers")
    except ValueError as error:
        raise DatasetError(f"is no label ({first_line(error)})", location=location, remedy="class x y w h") from None
    x, y = values[::2], values[1::2]
    return [label, (min(x) + max(x)) / 2, (min(y) + max(y)) / 2, max(x) - min(x), max(y) - min(y)]
