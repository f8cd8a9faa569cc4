"""Check what the user wrote after the model, before anything is built or written."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ultralytics.cfg import TASKS, _handle_deprecation, check_cfg, parse_key_value_pair
from ultralytics.data.utils import check_det_dataset
from ultralytics.engine.exporter import export_formats
from ultralytics.utils import DEFAULT_CFG_DICT
from ultralytics.utils.checks import check_yaml
from ultralytics.utils.torch_utils import select_device

from akyolo.errors import ConfigError, DatasetError, did_you_mean
from akyolo.packaged import packaged
from akyolo.upstream.embedded import resolves_to_embedded
from akyolo.upstream.settings import check_hyperparameters

# arguments of one mode that upstream's defaults do not list
EXTRA = {"tune": {"iterations", "use_ray", "space"}, "track": {"persist"}, "train": {"save_dir"}}


OPTIMIZERS = ("auto", "SGD", "MuSGD", "Adam", "Adamax", "AdamW", "NAdam", "RAdam", "RMSprop")


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
    known = {*DEFAULT_CFG_DICT, *EXTRA.get(mode, ())}
    current = _handle_deprecation(dict(arguments))
    for key in current:
        if key not in known:
            raise ConfigError(f"unknown argument {key!r}", remedy=did_you_mean(key, known))
    _refuse(lambda: check_cfg(dict(current)))
    check_hyperparameters(current)
    _check_choice(current, "task", TASKS)
    _check_choice(current, "optimizer", OPTIMIZERS)
    _check_choice(current, "format", export_formats()["Argument"])
    _check_imgsz(current.get("imgsz", 640))
    if current.get("device") is not None:
        _refuse(lambda: select_device(current["device"], verbose=False))
    if isinstance(current.get("data"), str):
        check_data(current["data"])
    if isinstance(current.get("source"), str):
        _check_source(current["source"])


def _refuse(check: Callable[[], Any]) -> None:
    try:
        check()
    except (TypeError, ValueError) as error:
        first_line, *_ = [line for line in str(error).splitlines() if line.strip()]
        raise ConfigError(first_line.strip()) from None


def _check_choice(arguments: dict[str, Any], key: str, choices: Iterable[str]) -> None:
    value = arguments.get(key)
    if value is not None and str(value).lower() not in {choice.lower() for choice in choices}:
        raise ConfigError(f"unknown {key} {value!r}", remedy=did_you_mean(str(value), choices))


def _check_imgsz(value: Any) -> None:
    sizes = value if isinstance(value, list | tuple) else [value]
    if not sizes or not all(isinstance(s, int) and not isinstance(s, bool) and s > 0 for s in sizes):
        raise ConfigError(f"'imgsz={value}' must be a positive whole number of pixels, or [height, width]")


def check_data(name: str) -> None:
    """Refuse a data YAML that does not exist or names images that do not.

    Raises:
        DatasetError: it says what is missing.
    """
    if not name.endswith((".yaml", ".yml")) or name.startswith(("http://", "https://", "ul://")):
        return
    if resolves_to_embedded(name):
        return
    if not (file := check_yaml(name, hard=False)):
        near = [str(path) for path in Path(name).parent.glob("*.yaml")]
        ours = [path.name for path in packaged("data").glob("*.yaml")]
        raise DatasetError(f"there is no data set file {name!r}", remedy=did_you_mean(name, [*near, *ours]))
    try:
        check_det_dataset(file, autodownload=False)
    except Exception as error:  # upstream raises whatever it meets first
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise DatasetError(lines[0] if lines else type(error).__name__, where=name) from None


def _check_source(name: str) -> None:
    is_file = not any(mark in name for mark in ("://", "*", ",")) and not name.isnumeric() and name != "screen"
    if is_file and not Path(name).exists():
        near = [str(path) for path in Path(name).parent.glob("*")] if Path(name).parent.is_dir() else []
        raise ConfigError(f"there is no source {name!r}", remedy=did_you_mean(name, near) if near else None)
