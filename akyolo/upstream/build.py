"""Build networks from model YAMLs, with errors that name the file."""

from typing import Any

from torch import nn
from ultralytics import YOLO
from ultralytics.nn.tasks import DetectionModel, guess_model_task

from akyolo.errors import RowError, first_line

# what upstream's parser, or the first pass through its layers, raises for rows that do not fit each other
BUILDING_ERRORS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def build_detector(model_yaml: dict[str, Any]) -> nn.Module:
    """The detection model of a model YAML, as `read_model_yaml` returns it.

    Raises:
        RowError: it cannot be built.
    """
    return built(DetectionModel, model_yaml, verbose=False)


def build_model(model_yaml: dict[str, Any]) -> nn.Module:
    """Build the network of a model YAML for the task that its head names.

    Raises:
        RowError: it cannot be built.
    """
    classes = YOLO.task_map.fget(None)  # the property reads nothing of its object
    return built(classes[guess_model_task(model_yaml) or "detect"]["model"], model_yaml, verbose=False)


def built(network: type, model_yaml: dict[str, Any], verbose: bool) -> Any:
    """Build a network of any task from a model YAML.

    Raises:
        RowError: it cannot be built.
    """
    try:
        return network(model_yaml, verbose=verbose)
    except BUILDING_ERRORS as error:
        raise RowError(
            f"cannot be built ({type(error).__name__}: {first_line(error)})",
            location=str(model_yaml.get("source_file") or model_yaml.get("yaml_file")),
            remedy="check the channels, the arguments and the 'from' of its rows",
        ) from error
