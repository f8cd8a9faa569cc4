"""Score files of detections."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from akyolo.errors import ConfigError, DatasetError
from akyolo.scoring.coco_results import read_coco_results
from akyolo.scoring.detections import Detections, read_detections
from akyolo.scoring.ground_truth import GroundTruth, from_coco_json
from akyolo.scoring.protocols import check_protocol, score
from akyolo.scoring.score import DIGITS, Score
from akyolo.upstream.evaluation.data_yaml import open_data
from akyolo.upstream.evaluation.evaluation_set import check_class_names, check_listed, read_evaluation_set


def score_file(
    file: Path, protocols: Sequence[str], data: str | None = None, annotations: Path | None = None
) -> list[Score]:
    """Score stored detections under several protocols.

    Args:
        file: a file that `akyolo val ... protocol=` wrote; or, with `annotations`, a COCO json of results.
        protocols: names of protocols.
        data: path of a data YAML; None for the one that the file names.
        annotations: a COCO json of the ground truth, used instead of a data YAML.

    Raises:
        ConfigError: there is no such protocol, or it is not a file of detections.
        DatasetError: the ground truth does not exist, or is not that of these detections.
    """
    for protocol in protocols:
        check_protocol(protocol)
    detections, ground_truth = read_both(file, data, annotations)
    return [score(protocol, detections, ground_truth) for protocol in protocols]


def read_both(file: Path, data: str | None = None, annotations: Path | None = None) -> tuple[Detections, GroundTruth]:
    """Read stored detections and their ground truth.

    Args:
        file: as for `score_file`.
        data: as for `score_file`.
        annotations: as for `score_file`.

    Returns:
        Both with the images in the same order.

    Raises:
        ConfigError: it is not a file of detections.
        DatasetError: the ground truth does not exist, or is not that of these detections.
    """
    if file.suffix == ".json":
        if annotations is None:
            raise ConfigError(
                "is a json of results, which does not name its ground truth",
                location=str(file),
                remedy="give --annotations GT.json",
            )
        return read_coco_results(file, annotations)
    detections = read_detections(file)
    return detections, ground_truth_for(detections, str(file), data, annotations)


def check_scoring(task: str | None, protocol: str) -> None:
    """Refuse a protocol that cannot score a model.

    Args:
        task: task of the model.
        protocol: name of the protocol.

    Raises:
        ConfigError: there is no such protocol, or it is not for this task.
    """
    check_protocol(protocol)
    if task != "detect":
        raise ConfigError(f"protocol={protocol} scores boxes; this model is for {task}")


def ground_truth_for(
    detections: Detections, source: str, data: str | None = None, annotations: Path | None = None
) -> GroundTruth:
    """Return the ground truth of detections.

    Args:
        detections: the detections.
        source: what a message calls the detections.
        data: path of a data YAML; None for the one that the detections name.
        annotations: a COCO json, used instead of a data YAML.

    Raises:
        DatasetError: the ground truth does not exist, or is not that of these detections.
    """
    location = str(annotations or data or detections.data)
    ground_truth = from_coco_json(annotations) if annotations else _ground_truth_of_data(detections, location)
    ground_truth = match_ground_truth(detections, ground_truth, location)
    # Label files and a json have different checksums.
    comparable = detections.annotations or not annotations
    if comparable and ground_truth.sha256 != detections.labels_sha256:
        current, stored = ground_truth.sha256[:DIGITS], str(detections.labels_sha256)[:DIGITS]
        raise DatasetError(f"has other labels ({current}) than {source} was made with ({stored})", location=location)
    return ground_truth


def _ground_truth_of_data(detections: Detections, data: str) -> GroundTruth:
    """Read the ground truth of detections from a data set."""
    split = detections.split or "val"
    content = open_data(data, split).content
    if content is None:
        raise DatasetError("is not a data YAML", location=data, remedy="give --data DATA.yaml")
    check_listed(content, split, detections.images)
    return read_evaluation_set(content, split, detections.images).ground_truth(detections.sizes)


def match_ground_truth(detections: Detections, ground_truth: GroundTruth, location: str) -> GroundTruth:
    """Select the ground truth of detections.

    Args:
        detections: the detections.
        ground_truth: objects of these images, and maybe of more.
        location: what a message calls the ground truth.

    Returns:
        The part of it that the detections are scored against, in their order of images.

    Raises:
        DatasetError: an image, a class or a size differs.
    """
    if ground_truth.images != detections.images:
        ground_truth = ground_truth.select_images(detections.images, location)
    if detections.only is not None:
        ground_truth = ground_truth.select_classes(detections.only)
    if detections.single_cls:
        ground_truth = ground_truth.merge_classes(detections.names[0])
    check_class_names(detections.names, ground_truth.names, location)
    if len(wrong := np.flatnonzero((ground_truth.sizes != detections.sizes).any(axis=1))):
        name = detections.images[wrong[0]]
        here, there = ("x".join(map(str, sizes[wrong[0]])) for sizes in (ground_truth.sizes, detections.sizes))
        raise DatasetError(
            f"{name} has {here} pixels in the ground truth, but {there} in the detections", location=location
        )
    return ground_truth
