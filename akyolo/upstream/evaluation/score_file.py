"""From a file of detections, and the data set that it was made on, to scores."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from akyolo.errors import ConfigError, DatasetError
from akyolo.scoring.coco_results import read_coco_results
from akyolo.scoring.detections import Detections, read_detections
from akyolo.scoring.ground_truth import GroundTruth, from_coco_json
from akyolo.scoring.protocols import check_protocol, score
from akyolo.scoring.score import DIGITS, Score
from akyolo.upstream.arguments.check import check_data
from akyolo.upstream.arguments.data import resolve_data
from akyolo.upstream.evaluation.dataset import check_names, read_truth


def score_file(
    file: Path, protocols: Sequence[str], data: str | None = None, annotations: Path | None = None
) -> list[Score]:
    """Score stored detections under each of the protocols.

    Args:
        file: what `akyolo val ... protocol=` left, or, with `annotations`, a COCO json of results.
        protocols: names.
        data: a data YAML, in the place of the one that the file names.
        annotations: a COCO json of the ground truth, in the place of any.

    Raises:
        ConfigError: no such protocol, or no file of detections.
        DatasetError: the ground truth is not there, or is not that of these detections.
    """
    for protocol in protocols:
        check_protocol(protocol)
    found, truth = read_both(file, data, annotations)
    return [score(protocol, found, truth) for protocol in protocols]


def read_both(file: Path, data: str | None = None, annotations: Path | None = None) -> tuple[Detections, GroundTruth]:
    """Return stored detections and their ground truth, in the same order of images; arguments as of `score_file`.

    Raises:
        ConfigError: no file of detections.
        DatasetError: the ground truth is not there, or is not that of these detections.
    """
    if file.suffix == ".json":
        if annotations is None:
            raise ConfigError(
                "is a json of results, which does not say of what",
                location=str(file),
                remedy="give --annotations GT.json",
            )
        return read_coco_results(file, annotations)
    found = read_detections(file)
    return found, truth_for(found, str(file), data, annotations)


def check_scoring(task: str | None, protocol: str) -> None:
    """Refuse an evaluation whose detections no protocol could score.

    Raises:
        ConfigError: there is no such protocol, or it is not for this task.
    """
    check_protocol(protocol)
    if task != "detect":
        raise ConfigError(f"protocol={protocol} scores boxes; this model is for {task}")


def truth_for(found: Detections, source: str, data: str | None = None, annotations: Path | None = None) -> GroundTruth:
    """Return the ground truth of detections, from `annotations`, `data`, or the data set that they name.

    Args:
        found: the detections.
        source: what a message calls them.
        data: a data YAML.
        annotations: a COCO json, in the place of any data set.

    Raises:
        DatasetError: the ground truth is not there, or is not that of these detections.
    """
    location = str(annotations or data or found.data)
    if annotations:
        truth = matched(found, from_coco_json(annotations), location)
    else:
        check_data(location)
        read, _ = read_truth(resolve_data({"data": location})["data"], found.split or "val", found.images, found.sizes)
        truth = matched(found, read, location)
    comparable = found.annotations or not annotations  # labels and a json have no checksum in common
    if comparable and truth.sha256 != found.labels_sha256:
        ours, theirs = truth.sha256[:DIGITS], str(found.labels_sha256)[:DIGITS]
        raise DatasetError(f"has other labels ({ours}) than {source} was made with ({theirs})", location=location)
    return truth


def matched(found: Detections, truth: GroundTruth, location: str) -> GroundTruth:
    """Return the part of `truth` that these detections are of, in their order of images.

    Raises:
        DatasetError: an image, a class or a size differs.
    """
    if truth.images != found.images:
        truth = truth.of(found.images, location)
    if found.only is not None:
        truth = truth.only(found.only)
    if found.single_cls:
        truth = truth.as_one_class(found.names[0])
    check_names(found.names, truth.names, location)
    if len(wrong := np.flatnonzero((truth.sizes != found.sizes).any(axis=1))):
        name, there, here = found.images[wrong[0]], truth.sizes[wrong[0]], found.sizes[wrong[0]]
        raise DatasetError(f"{name} is {there[0]}x{there[1]} there, and was {here[0]}x{here[1]}", location=location)
    return truth
