"""Check the arguments of a command.

All checks run before anything is built or written.
"""

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from ultralytics.cfg import TASKS, _handle_deprecation, check_cfg, parse_key_value_pair
from ultralytics.data.utils import check_det_dataset
from ultralytics.engine.exporter import export_formats
from ultralytics.utils import DEFAULT_CFG_DICT, ROOT
from ultralytics.utils.checks import REMOTE_FILE_PREFIXES, check_yaml
from ultralytics.utils.torch_utils import select_device

from akyolo.checks import COUNTING, check_choice, check_number
from akyolo.datasets.shapes.store import OUTLINES
from akyolo.errors import ConfigError, DatasetError, did_you_mean, first_line
from akyolo.resources import packaged
from akyolo.scoring.protocols import check_protocol
from akyolo.upstream.arguments.data import check_runs_nothing, is_upstream_file, resolves_to_embedded
from akyolo.upstream.arguments.hyperparameters import check_batch, check_training_values
from akyolo.upstream.arguments.resolve import TrainingArguments
from akyolo.upstream.logs import silence
from akyolo.upstream.weights.checkpoint import WEIGHT_ARGUMENTS

# Arguments of a mode that the defaults of Ultralytics do not list.
EXTRA = {"tune": {"iterations", "use_ray", "space"}, "track": {"persist"}, "train": {"save_dir"}, "val": {"protocol"}}


def keys_with_defaults() -> dict[str, Any]:
    """Return the arguments of a mode, with defaults."""
    return {key: value for key, value in DEFAULT_CFG_DICT.items() if key not in {"model", "mode"}}


def read_value(key: str, text: str) -> Any:
    """Read a value as Ultralytics does.

    Returns:
        A number, True, False, None, a list, or else the text itself.

    Example:
        >>> read_value("imgsz", "[320, 640]"), read_value("lr0", "1e-3"), read_value("optimizer", "SGD")
        ([320, 640], 0.001, 'SGD')
    """
    return parse_key_value_pair(f"{key}={text}")[1]


def check_arguments(mode: str, words: dict[str, Any]) -> TrainingArguments:
    """Read and check the user's words.

    Args:
        mode: a mode of Ultralytics.
        words: the arguments of a command line or of a table.

    Raises:
        CheckpointError: weights that cannot be read safely.
        ConfigError: a key or value; the message names it and says what to write instead.
        DatasetError: a data set that is missing or incomplete.
    """
    arguments = TrainingArguments.read(words, lambda stated: _check_values(mode, stated))
    stated = arguments.stated
    if stated.get("protocol") is not None:
        check_protocol(stated["protocol"])
    _check_choices(stated)
    check_batch(stated.get("batch", 16), may_be_automatic=mode == "train")
    if stated.get("device") is not None:
        _check_device(stated["device"])
    _check_files(stated)
    if stated.get("data") is not None and mode != "val":  # An evaluation opens its data set itself.
        check_data(stated["data"])
    if isinstance(stated.get("source"), str):
        _check_source(stated["source"])
    iterations = stated.get("iterations", 1)
    check_number(f"'iterations={iterations}'", iterations, COUNTING, error=ConfigError)
    return arguments


def _check_values(mode: str, stated: Mapping[str, Any]) -> None:
    """Refuse unknown keys and wrong values."""
    current = _handle_deprecation(dict(stated))
    names = {*DEFAULT_CFG_DICT, *EXTRA.get(mode, ())} - {"mode"}
    for key in current:
        if key not in names:
            raise ConfigError(f"unknown argument {key!r}", remedy=did_you_mean(key, names))
    _refuse(lambda: check_cfg(dict(current)))
    check_training_values(current)


def _refuse(check: Callable[[], Any]) -> None:
    """Run a check; raise its errors as ours."""
    try:
        check()
    except (TypeError, ValueError) as error:
        raise ConfigError(first_line(error)) from None


def _check_choices(arguments: dict[str, Any]) -> None:
    """Refuse an unknown task or export format."""
    for key, choices in (("task", TASKS), ("format", export_formats()["Argument"])):
        if arguments.get(key) is not None:
            check_choice(choices, error=ConfigError, any_case=True, **{key: arguments[key]})


def _check_files(arguments: dict[str, Any]) -> None:
    """Refuse a missing tracker and misnamed weights."""
    if arguments.get("tracker") and not check_yaml(str(arguments["tracker"]), hard=False):
        raise ConfigError(
            f"there is no file {str(arguments['tracker'])!r} for tracker=",
            remedy="botsort.yaml, bytetrack.yaml or a file of your own",
        )
    for key in WEIGHT_ARGUMENTS:
        if isinstance(value := arguments.get(key), str) and not value.endswith(".pt"):
            raise ConfigError(f"'{key}={value}' must be weights, a .pt file")


def _check_device(value: Any) -> None:
    """Refuse a device that is not there."""
    try:
        with silence():  # Ultralytics prints its version and explains devices at length.
            torch.empty(0, device=select_device(value, verbose=False))
    except (AttributeError, RuntimeError, TypeError, ValueError):
        raise ConfigError(f"there is no device {value!r} here", remedy="cpu, 0 or 0,1 for CUDA devices, mps") from None


def is_raised_by_upstream(error: BaseException) -> bool:
    """Return whether Ultralytics itself raised an exception.

    Ultralytics checks what users give it while it works.
    """
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).is_relative_to(ROOT)


def check_data(name: Any) -> None:
    """Refuse a data YAML that lacks images.

    The file may also be missing itself.

    A data YAML of Ultralytics passes: its images can still be downloaded.

    Raises:
        DatasetError: the message says what is missing.
    """
    file = None if resolves_to_embedded(name) else find_data_yaml(name)
    if file is None or is_upstream_file(file):
        return
    check_runs_nothing(file)
    try:
        check_det_dataset(file, autodownload=False)
    except Exception as error:  # Ultralytics raises errors of many classes here.
        raise DatasetError(first_line(error), location=name) from None


def find_data_yaml(name: Any) -> Path | None:
    """Return the file of a data YAML.

    Returns:
        The file; None if `name` is a folder, an archive, an address or a list.

    Raises:
        DatasetError: there is no such file, or it only describes a data set to prepare.
    """
    if not isinstance(name, str | list | Path):
        raise DatasetError(f"'data={name}' must be the path of a data YAML")
    if isinstance(name, list) or not str(name).endswith((".yaml", ".yml")):
        return None
    if str(name).startswith(REMOTE_FILE_PREFIXES):
        return None
    file = check_yaml(name, hard=False)
    ours = {path.name: path for path in packaged("data").glob("*.yaml")}
    if Path(name).name in ours and (not file or Path(file).resolve() == ours[Path(name).name]):
        prepare = f"`akyolo data prepare {Path(name).stem} --root DIR` makes it; then data=DIR/data.yaml"
        raise DatasetError(f"{str(name)!r} describes a data set to prepare, it is not a data YAML", remedy=prepare)
    if not file:
        near = [str(path) for path in Path(name).parent.glob("*.yaml")]
        raise DatasetError(f"there is no data set file {str(name)!r}", remedy=did_you_mean(str(name), [*near, *ours]))
    return Path(file)


def fetch_data(name: str) -> int:
    """Count the classes of a data set.

    A missing data set of Ultralytics is downloaded.

    Only data sets of Ultralytics can be downloaded.

    Returns:
        The number of its classes.

    Raises:
        DatasetError: the data set is missing, and cannot be downloaded.
    """
    if resolves_to_embedded(name):
        return len(OUTLINES)
    try:
        return int(check_det_dataset(name)["nc"])
    except Exception as error:  # Ultralytics raises errors of many classes here.
        raise DatasetError(first_line(error), location=name) from None


def _check_source(name: str) -> None:
    """Refuse a source that does not exist."""
    is_file = not any(mark in name for mark in ("://", "*", ",")) and not name.isnumeric() and name != "screen"
    if is_file and not Path(name).exists():
        near = [str(path) for path in Path(name).parent.glob("*")] if Path(name).parent.is_dir() else []
        raise ConfigError(f"there is no source {name!r}", remedy=did_you_mean(name, near) if near else None)
