"""Read the images of a split with their annotations, once.

Ground truth is the COCO json that the data YAML names, `annotations: {val: FILE}`, else the label files.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ultralytics.data.utils import img2label_paths

from akyolo.errors import DatasetError, first_line
from akyolo.scoring.ground_truth import GroundTruth, LabelRows, from_coco_json, read_label_rows
from akyolo.upstream.evaluation.dataset import list_images


@dataclass(frozen=True)
class EvaluationSet:
    """Images of a split, with their annotations.

    Args:
        data_yaml: path of the data YAML.
        root: folder of the data set.
        split: name of the split.
        labels: objects of the images: rows of the label files, or the ground truth of a COCO json.
        annotations: that COCO json; None if there are label files.
    """

    data_yaml: Path
    root: Path
    split: str
    labels: LabelRows | GroundTruth
    annotations: Path | None

    @property
    def images(self) -> tuple[str, ...]:
        """Return the names of the images, as `image_names` gives them."""
        return self.labels.images

    @property
    def names(self) -> tuple[str, ...]:
        """Return the class names by index."""
        return self.labels.names

    def ground_truth(self, sizes: NDArray[np.integer]) -> GroundTruth:
        """Return the ground truth in pixels.

        Args:
            sizes: (I, 2) integers, width and height of each image in pixels; a COCO json has its own.
        """
        return self.labels.in_pixels(sizes) if isinstance(self.labels, LabelRows) else self.labels


def read_evaluation_set(data: Mapping[str, Any], split: str, images: Sequence[str]) -> EvaluationSet:
    """Read the annotations of images.

    Args:
        data: content of a data YAML, as upstream checks it.
        split: name of the split.
        images: names, as `image_names` gives them.

    Raises:
        DatasetError: the annotations cannot be read, or are not those of these images and classes.
    """
    data_yaml, root, names = Path(data["yaml_file"]), Path(data["path"]).resolve(), class_names(data["names"])
    files_by_split = data.get("annotations") or {}
    if not isinstance(files_by_split, Mapping):
        raise DatasetError(
            "'annotations' must name a file for each split", location=str(data_yaml), remedy="annotations: {val: FILE}"
        )
    if not files_by_split.get(split):
        files = [Path(file) for file in img2label_paths([str(root / name) for name in images])]
        return EvaluationSet(data_yaml, root, split, read_label_rows(images, files, names), None)
    annotations = root / files_by_split[split]
    ground_truth = from_coco_json(annotations).select_images(images, str(annotations))
    check_class_names(names, ground_truth.names, str(annotations))
    return EvaluationSet(data_yaml, root, split, ground_truth, annotations)


def check_listed(data: Mapping[str, Any], split: str, images: Iterable[str]) -> None:
    """Refuse images that the split does not have.

    Args:
        data: content of a data YAML, as upstream checks it.
        split: name of the split.
        images: names, as `image_names` gives them.

    Raises:
        DatasetError: an image is missing, or the images of the split cannot be listed.
    """
    try:
        listed = set(image_names(Path(data["path"]), list_images(data[split])))
    except OSError as error:
        raise DatasetError(first_line(error), location=data["yaml_file"]) from None
    if missing := [name for name in images if name not in listed]:
        raise DatasetError(f"has no {missing[0]} among its {len(listed)} {split} images", location=data["yaml_file"])


def image_names(root: Path, files: Iterable[str]) -> list[str]:
    """Return the paths of images within the data set.

    These names do not change when the data set is moved.

    Args:
        root: folder of the data set.
        files: image files; one outside of the folder keeps its whole path.
    """
    root = root.resolve()
    paths = map(Path, files)
    return [(path.relative_to(root) if path.is_relative_to(root) else path).as_posix() for path in paths]


def class_names(names: Mapping[int, str] | Sequence[str]) -> tuple[str, ...]:
    """Return class names by index."""
    return tuple(names.values() if isinstance(names, Mapping) else names)


def check_class_names(expected: Sequence[str], names: Sequence[str], location: str) -> None:
    """Refuse other class names.

    Args:
        expected: class names by index.
        names: those that are checked.
        location: what has `names`.

    Raises:
        DatasetError: the lists differ; it names the first difference.
    """
    if len(expected) != len(names):
        raise DatasetError(f"has {len(names)} classes, not {len(expected)}", location=location)
    for index, (right, name) in enumerate(zip(expected, names, strict=True)):
        if name != right:
            raise DatasetError(f"calls class {index} {name!r}, not {right!r}", location=location)
