"""Build networks from model YAMLs.

Errors name the file.
"""

from typing import Any

from torch import nn
from ultralytics import YOLO
from ultralytics.nn.tasks import DetectionModel, guess_model_task

from akyolo.errors import RowError, first_line

# Upstream's parser, or the first pass through its layers, raises these for rows that do not fit each other.
BUILDING_ERRORS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def build_detector(model_yaml: dict[str, Any]) -> nn.Module:
    """Build the detection model of a model YAML.

    Args:
        model_yaml: as `read_model_yaml` returns it.

    Raises:
        RowError: the rows do not fit each other.

    Example:
        >>> from akyolo.upstream.model_yaml import read_model_yaml
        >>> model = build_detector(read_model_yaml("yolov8n-akconv5.yaml"))
        >>> type(model.model[1]).__name__
        'AKConv'
    """
    return build_network(DetectionModel, model_yaml, verbose=False)


def build_model(model_yaml: dict[str, Any]) -> nn.Module:
    """Build the network of a model YAML.

    Its head tells the task.

    Raises:
        RowError: the rows do not fit each other.
    """
    classes = YOLO.task_map.fget(None)  # The property reads no attribute of its object.
    return build_network(classes[guess_model_task(model_yaml) or "detect"]["model"], model_yaml, verbose=False)


def build_network(network: type, model_yaml: dict[str, Any], verbose: bool) -> Any:
    """Build a network of a given class.

    Args:
        network: a model class of upstream.
        model_yaml: as `read_model_yaml` returns it.
        verbose: print the layer table.

    Raises:
        RowError: the rows do not fit each other.
    """
    try:
        return network(model_yaml, verbose=verbose)
    except BUILDING_ERRORS as error:
        raise RowError(
            f"cannot be built ({type(error).__name__}: {first_line(error)})",
            location=str(model_yaml.get("source_file") or model_yaml.get("yaml_file")),
            remedy="check the channels, the arguments and the 'from' of its rows",
        ) from error
