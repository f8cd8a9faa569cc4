"""Check what the user wrote after the model, before anything is built or written."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from ultralytics.cfg import TASKS, _handle_deprecation, check_cfg, parse_key_value_pair
from ultralytics.data.utils import check_det_dataset
from ultralytics.engine.exporter import export_formats
from ultralytics.utils import DEFAULT_CFG_DICT, ROOT, YAML
from ultralytics.utils.checks import REMOTE_FILE_PREFIXES, check_yaml
from ultralytics.utils.torch_utils import select_device

from akyolo.datasets.shapes.store import OUTLINES
from akyolo.errors import ConfigError, DatasetError, did_you_mean, first_line
from akyolo.resources import packaged
from akyolo.scoring.protocols import check_protocol
from akyolo.upstream.arguments.data import check_runs_nothing, is_upstreams, resolves_to_embedded
from akyolo.upstream.arguments.hyperparameters import check_batch, check_choice, check_training_values
from akyolo.upstream.arguments.recipes import named, read_recipe
from akyolo.upstream.logs import silence
from akyolo.upstream.weights.checkpoint import WEIGHT_ARGUMENTS, check_loadable

# arguments of one mode that upstream's defaults do not list
EXTRA = {"tune": {"iterations", "use_ray", "space"}, "track": {"persist"}, "train": {"save_dir"}, "val": {"protocol"}}


def keys_with_defaults() -> dict[str, Any]:
    """Every argument a mode takes, with its default."""
    return {key: value for key, value in DEFAULT_CFG_DICT.items() if key not in {"model", "mode"}}


def read_value(key: str, text: str) -> Any:
    """A value as upstream's command line reads it: a number, True, None, a list, else text."""
    return parse_key_value_pair(f"{key}={text}")[1]


def check_arguments(mode: str, arguments: dict[str, Any]) -> None:
    """Refuse unknown keys, values of the wrong type or range, and files that do not exist.

    Raises:
        ConfigError: a key or value; the message names it and what would be right.
        DatasetError: a data set that is missing or incomplete.
    """
    known = {*DEFAULT_CFG_DICT, *EXTRA.get(mode, ())} - {"mode"}
    if arguments.get("cfg") and not check_yaml(str(arguments["cfg"]), hard=False):
        raise ConfigError(f"there is no file {str(arguments['cfg'])!r} for cfg=")
    written = YAML.load(check_yaml(arguments["cfg"])) if arguments.get("cfg") else {}
    current = _handle_deprecation({**{key: value for key, value in written.items() if key != "mode"}, **arguments})
    for key in current:
        if key not in known:
            raise ConfigError(f"unknown argument {key!r}", remedy=did_you_mean(key, known))
    _refuse(lambda: check_cfg(dict(current)))
    check_training_values(current)
    for recipe in named(current.get("recipe")):
        read_recipe(recipe)
    if current.get("protocol") is not None:
        check_protocol(current["protocol"])
    check_choice(current, "task", TASKS)
    check_choice(current, "format", export_formats()["Argument"])
    check_batch(current.get("batch", 16), may_be_found=mode == "train")
    if current.get("device") is not None:
        _check_device(current["device"])
    _check_files(current)
    if current.get("data") is not None:
        check_data(current["data"])
    if isinstance(current.get("source"), str):
        _check_source(current["source"])
    _check_whole(current, "iterations")


def _refuse(check: Callable[[], Any]) -> None:
    try:
        check()
    except (TypeError, ValueError) as error:
        raise ConfigError(first_line(error)) from None


def _check_whole(arguments: dict[str, Any], key: str) -> None:
    value = arguments.get(key, 1)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"'{key}={value}' must be a whole number of at least 1")


def _check_files(arguments: dict[str, Any]) -> None:
    if arguments.get("tracker") and not check_yaml(str(arguments["tracker"]), hard=False):
        raise ConfigError(f"there is no file {str(arguments['tracker'])!r} for tracker=")
    for key in WEIGHT_ARGUMENTS:
        if isinstance(arguments.get(key), str):
            check_loadable(arguments[key])
            if not arguments[key].endswith(".pt"):
                raise ConfigError(f"'{key}={arguments[key]}' must be weights, a .pt file")


def _check_device(value: Any) -> None:
    try:
        with silence():  # it would greet, and explain devices at length
            torch.empty(0, device=select_device(value, verbose=False))
    except (AttributeError, RuntimeError, TypeError, ValueError):
        raise ConfigError(f"there is no device {value!r} here", remedy="cpu, 0 or 0,1 for CUDA devices, mps") from None


def refused_by_upstream(error: BaseException) -> bool:
    """Whether an exception was raised by a line of Ultralytics itself, which checks what users give it as it goes."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).is_relative_to(ROOT)


def check_data(name: Any) -> None:
    """Refuse a data YAML that does not exist or names images that do not; upstream's own may still be downloaded.

    Raises:
        DatasetError: it says what is missing.
    """
    if not isinstance(name, str | list):
        raise DatasetError(f"'data={name}' must be the path of a data YAML")
    if not isinstance(name, str) or not name.endswith((".yaml", ".yml")) or name.startswith(REMOTE_FILE_PREFIXES):
        return
    if resolves_to_embedded(name):
        return
    file = check_yaml(name, hard=False)
    ours = {path.name: path for path in packaged("data").glob("*.yaml")}
    if Path(name).name in ours and (not file or Path(file).resolve() == ours[Path(name).name]):
        prepare = f"`akyolo data prepare {Path(name).stem} --root DIR` makes it; then data=DIR/data.yaml"
        raise DatasetError(f"{name!r} is no data set, but what is expected of one", remedy=prepare)
    if not file:
        near = [str(path) for path in Path(name).parent.glob("*.yaml")]
        raise DatasetError(f"there is no data set file {name!r}", remedy=did_you_mean(name, [*near, *ours]))
    if is_upstreams(Path(file)):
        return
    check_runs_nothing(file)
    try:
        check_det_dataset(file, autodownload=False)
    except Exception as error:  # upstream raises whatever it meets first
        raise DatasetError(first_line(error), location=name) from None


def fetch_data(name: str) -> int:
    """See that a data YAML is there with its images; upstream's own is downloaded where it is not.

    Returns:
        How many classes it has.

    Raises:
        DatasetError: it is not, and cannot be.
    """
    if resolves_to_embedded(name):
        return len(OUTLINES)
    try:
        return int(check_det_dataset(name)["nc"])
    except Exception as error:  # upstream raises whatever it meets first
        raise DatasetError(first_line(error), location=name) from None


def _check_source(name: str) -> None:
    is_file = not any(mark in name for mark in ("://", "*", ",")) and not name.isnumeric() and name != "screen"
    if is_file and not Path(name).exists():
        near = [str(path) for path in Path(name).parent.glob("*")] if Path(name).parent.is_dir() else []
        raise ConfigError(f"there is no source {name!r}", remedy=did_you_mean(name, near) if near else None)
