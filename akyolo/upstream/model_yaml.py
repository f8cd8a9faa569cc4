"""Read a model YAML by its name."""

from pathlib import Path
from typing import Any

import yaml
from ultralytics.nn.tasks import guess_model_task, yaml_model_load
from ultralytics.utils import LOGGER, ROOT

from akyolo.errors import RowError, did_you_mean
from akyolo.model_yaml import find_model_yaml, name_without_scale
from akyolo.resources import packaged


def read_model_yaml(name: str | Path) -> dict[str, Any]:
    """Read the model YAML that a name means.

    The name is the path of a file; or of another scale of a file in the same folder or in the packaged `cfg`; or a
    model YAML of Ultralytics.

    Returns:
        The mapping from which upstream builds models, with `yaml_file` and `scale`, and `source_file` for messages.

    Raises:
        RowError: there is no such file, it is not a YAML mapping, or it has no such scale.
    """
    file, scale = find_model_yaml(str(name), packaged("cfg"))
    if file is None:
        return _upstream_yaml(name)
    cfg = _mapping(file)
    if not isinstance(cfg.get("recipe", ""), str):
        raise RowError(
            f"recipe: {cfg['recipe']!r} is not a name", location=str(file), remedy="write recipe: yolov5, or a file"
        )
    scales = cfg.get("scales")
    if scale and isinstance(scales, dict) and scale not in scales:
        raise RowError(f"no scale {scale!r}", location=str(file), remedy=f"its scales are {', '.join(scales)}")
    if file.resolve() != Path(name).resolve():
        other = (
            ", not the model of that name in Ultralytics" if name_without_scale(str(name)) in upstream_names() else ""
        )
        LOGGER.info(f"akyolo: {name} means {f'scale {scale} of ' if scale else ''}{file}{other}")
    return {**cfg, "scale": scale, "yaml_file": str(name), "source_file": str(file)}


def task_of(model_yaml: dict[str, Any]) -> str | None:
    """Return the task of a model, if known."""
    return guess_model_task(model_yaml)


def _mapping(file: Path) -> dict[str, Any]:
    """Read a YAML file with a mapping."""
    try:
        cfg = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        location = f"{file}, line {mark.line + 1}" if mark else str(file)
        raise RowError(f"not valid YAML: {getattr(error, 'problem', None) or error}", location=location) from None
    if not isinstance(cfg, dict):
        raise RowError("a model YAML is a mapping with backbone: and head:", location=str(file))
    return cfg


def _upstream_yaml(name: str | Path) -> dict[str, Any]:
    """Read a model YAML of Ultralytics."""
    try:
        return yaml_model_load(name)
    except (AssertionError, OSError):  # Upstream asserts the suffix.
        ours = [path.name for path in packaged("cfg").glob("*.yaml")]
        names = [*ours, *(str(path) for path in Path(name).parent.glob("*.yaml")), *upstream_names()]
        raise RowError(f"there is no model file {str(name)!r}", remedy=did_you_mean(str(name), names)) from None


def upstream_names() -> list[str]:
    """Return the model YAMLs of Ultralytics."""
    return [path.name for path in (ROOT / "cfg" / "models").rglob("*.yaml")]
