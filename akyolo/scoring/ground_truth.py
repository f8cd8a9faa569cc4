"""Read ground truth of COCO jsons and label files."""

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
    """Annotated objects of I images.

    Args:
        images: names of the images: `file_name` of a json; with label files, the path within the data set.
        sizes: (I, 2) integers, width and height of each image in pixels.
        names: class names by index; of a json in the order of their category ids.
        xyxy_px: (B, 4) corners of the objects in pixels.
        classes: (B,) integers, class ids.
        image: (B,) integers, index of the object's image in `images`.
        area: (B,) square pixels: of the mask, if a json has it, else of the box.
        crowd: (B,) whether it is a group of objects that were not annotated one by one (COCO's iscrowd).
        ignored: (B,) whether it counts neither as found nor as missed (VOC's difficult, VisDrone's score 0).
        region_xyxy_px: (R, 4) corners of regions in which nothing is scored (VisDrone).
        region_image: (R,) integers, index of the region's image in `images`.
        sha256: checksum of the label files, one after the other in the order of `images`; of a json, of what is scored,
            which is the same for COCO's own file and for one without its masks.
        ids: (I,) image ids of a json, else None.
        categories: category ids of a json by class id, else None.
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

    def merge_classes(self, name: str) -> "GroundTruth":
        """Return the objects as one class."""
        return replace(self, classes=np.zeros_like(self.classes), names=(name,))

    def select_classes(self, classes: Sequence[int]) -> "GroundTruth":
        """Return only the objects of these classes."""
        return self._select_objects(np.isin(self.classes, classes))

    def _select_objects(self, mask: NDArray[np.bool_]) -> "GroundTruth":
        """Return only the objects of a mask (B,)."""
        columns = ("xyxy_px", "classes", "image", "area", "crowd", "ignored")
        return replace(self, **{name: getattr(self, name)[mask] for name in columns})

    def select_images(self, images: Sequence[str], location: str) -> "GroundTruth":
        """Return these images with their objects, in this order.

        Args:
            images: names; folders and suffixes are not compared, since a json may have the file names alone.
            location: what a message calls the ground truth.

        Raises:
            DatasetError: an image is missing here, or two images have the same name.
        """
        index_of_name = {_stem(name): index for index, name in enumerate(self.images)}
        stems = [_stem(name) for name in images]
        if len(index_of_name) < len(self.images) or len(set(stems)) < len(stems):
            raise DatasetError("two of its images have the same name", location=location)
        if missing := [name for name, stem in zip(images, stems, strict=True) if stem not in index_of_name]:
            raise DatasetError(
                f"is of another data set: {missing[0]} is not one of its {len(self.images)} images", location=location
            )
        selected = [index_of_name[stem] for stem in stems]
        new_index = np.full(len(self.images), -1)
        new_index[selected] = np.arange(len(selected))
        part, regions = self._select_objects(new_index[self.image] >= 0), new_index[self.region_image] >= 0
        part = replace(
            part,
            images=tuple(images),
            sizes=self.sizes[selected],
            image=new_index[part.image],
            region_xyxy_px=self.region_xyxy_px[regions],
            region_image=new_index[self.region_image][regions],
            ids=self.ids and tuple(self.ids[index] for index in selected),
        )
        return replace(part, sha256=_checksum(part))


def _stem(name: str) -> str:
    """Return a file name without folders and suffix."""
    return PurePosixPath(name.replace("\\", "/")).stem


def _checksum(ground_truth: GroundTruth) -> str:
    """Return the SHA-256 of sorted images and objects."""
    stems = [_stem(name) for name in ground_truth.images]
    columns = (ground_truth.classes, ground_truth.xyxy_px, ground_truth.area, ground_truth.crowd, ground_truth.ignored)
    images_of_objects = (stems[index] for index in ground_truth.image)
    images_of_regions = (stems[index] for index in ground_truth.region_image)
    objects = zip(images_of_objects, *(values.tolist() for values in columns), strict=True)
    regions = zip(images_of_regions, ground_truth.region_xyxy_px.tolist(), strict=True)
    content = [ground_truth.names, sorted(stems), sorted(objects), sorted(regions)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def from_coco_json(file: Path) -> GroundTruth:
    """Read the ground truth from a COCO json.

    Objects may also have `ignore` or `difficult`, and the file may also have a list `ignored_regions`.

    Args:
        file: the json.

    Raises:
        DatasetError: it cannot be read, or lacks a key.
    """
    try:
        content = json.loads(file.read_bytes())
        images = content["images"]
        categories = sorted(content["categories"], key=lambda category: category["id"])
        index_of_image = {image["id"]: index for index, image in enumerate(images)}
        class_of_category = {category["id"]: index for index, category in enumerate(categories)}
        if len(index_of_image) < len(images) or len(class_of_category) < len(categories):
            raise ValueError("two images, or two categories, have one id")
        objects, regions = content["annotations"], content.get("ignored_regions", ())
        ground_truth = GroundTruth(
            images=tuple(str(image["file_name"]) for image in images),
            sizes=np.array([(image["width"], image["height"]) for image in images], np.int32).reshape(-1, 2),
            names=tuple(str(category["name"]) for category in categories),
            xyxy_px=_corners(objects),
            classes=np.array([class_of_category[annotation["category_id"]] for annotation in objects], np.int32),
            image=np.array([index_of_image[annotation["image_id"]] for annotation in objects], np.int32),
            area=np.array([_area(annotation) for annotation in objects], np.float64),
            crowd=np.array([bool(annotation.get("iscrowd")) for annotation in objects], bool),
            ignored=np.array([_is_ignored(annotation) for annotation in objects], bool),
            region_xyxy_px=_corners(regions),
            region_image=np.array([index_of_image[region["image_id"]] for region in regions], np.int32),
            sha256="",
            ids=tuple(index_of_image),
            categories=tuple(class_of_category),
        )
        numbers = (ground_truth.xyxy_px, ground_truth.area, ground_truth.region_xyxy_px)
        if not all(np.isfinite(values).all() for values in numbers):
            raise ValueError("a box or an area is not finite")
        return replace(ground_truth, sha256=_checksum(ground_truth))
    except (OSError, ValueError) as error:
        raise DatasetError(f"cannot be read as a COCO json: {first_line(error)}", location=str(file)) from None
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        reason = f"is no COCO json of objects ({type(error).__name__}: {first_line(error)})"
        raise DatasetError(reason, location=str(file)) from None


def _is_ignored(annotation: Mapping[str, Any]) -> bool:
    """Return whether an object is ignored."""
    return bool(annotation.get("ignore") or annotation.get("difficult"))


def _area(annotation: Mapping[str, Any]) -> float:
    """Return the area of an object, or of its box."""
    area = annotation.get("area")
    return float(annotation["bbox"][2] * annotation["bbox"][3] if area is None else area)


def _corners(annotations: Iterable[Mapping[str, Any]]) -> NDArray[np.floating]:
    """Return the corners (n, 4) of COCO's boxes."""
    ltwh_px = np.array([annotation["bbox"] for annotation in annotations], np.float64).reshape(-1, 4)
    return np.concatenate((ltwh_px[:, :2], ltwh_px[:, :2] + ltwh_px[:, 2:]), axis=1)


@dataclass(frozen=True)
class LabelRows:
    """Rows of YOLO label files, not yet in pixels.

    Args:
        images: names of the I images.
        names: class names by index.
        rows: (B, 5) class id, centre x and y, width and height; the boxes normalised to [0, 1].
        image: (B,) integers, index of the row's image in `images`.
        sha256: checksum of the label files, one after the other in the order of `images`.
    """

    images: tuple[str, ...]
    names: tuple[str, ...]
    rows: NDArray[np.floating]
    image: NDArray[np.integer]
    sha256: str

    def in_pixels(self, sizes: NDArray[np.integer]) -> GroundTruth:
        """Return the objects in pixels.

        Args:
            sizes: (I, 2) integers, width and height of each image in pixels.
        """
        wh_px = sizes[self.image].reshape(-1, 2)
        centre, half = self.rows[:, 1:3] * wh_px, self.rows[:, 3:5] * wh_px / 2
        no_flags = np.zeros(len(self.image), bool)
        return GroundTruth(
            images=self.images,
            sizes=sizes,
            names=self.names,
            xyxy_px=np.concatenate((centre - half, centre + half), axis=1),
            classes=self.rows[:, 0].astype(np.int32),
            image=self.image,
            area=4 * half.prod(axis=1),
            crowd=no_flags,
            ignored=no_flags,
            region_xyxy_px=np.zeros((0, 4)),
            region_image=np.zeros(0, np.int32),
            sha256=self.sha256,
        )


def from_labels(
    images: Sequence[str], sizes: NDArray[np.integer], files: Sequence[Path], names: Sequence[str]
) -> GroundTruth:
    """Read the ground truth from YOLO label files.

    Args:
        images: names of the I images.
        sizes: (I, 2) integers, width and height of each image in pixels.
        files: label file of each image; if it does not exist, the image has no objects.
        names: class names by index.

    Raises:
        DatasetError: a row that cannot be read, with its file and number.
    """
    return read_label_rows(images, files, names).in_pixels(sizes)


def read_label_rows(images: Sequence[str], files: Sequence[Path], names: Sequence[str]) -> LabelRows:
    """Read YOLO label files.

    A row is `class x y w h`, centre and size normalised to [0, 1], or a class and the corners of a polygon.

    Args:
        images: names of the I images.
        files: label file of each image; if it does not exist, the image has no objects.
        names: class names by index.

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
    # Programs of the YOLO family read labels in float32.
    values = np.array(rows, np.float32).reshape(-1, 5).astype(np.float64)
    return LabelRows(tuple(images), tuple(names), values, np.array(image, np.int32), digest.hexdigest())


def _row(words: Sequence[str], classes: int, location: str) -> list[float]:
    """Return class id and box of a row.

    Raises:
        DatasetError: it is not a row of a label file.
    """
    try:
        class_id, *values = map(float, words)
        if not np.isfinite([class_id, *values]).all() or class_id not in range(classes):
            raise ValueError(f"class {words[0]} of {classes}")
        if len(values) == 4:
            return [class_id, *values]
        if len(values) < 6 or len(values) % 2:
            raise ValueError(f"{len(words)} numbers")
    except ValueError as error:
        raise DatasetError(
            f"is not a label row ({first_line(error)})", location=location, remedy="class x y w h"
        ) from None
    x, y = values[::2], values[1::2]
    return [class_id, (min(x) + max(x)) / 2, (min(y) + max(y)) / 2, max(x) - min(x), max(y) - min(y)]
