"""Build our rows and losses in upstream's models.

Our rows are lowered before upstream's `parse_model` runs, and filled in after it. A head with a loss of its own builds
it; otherwise upstream selects the loss.
"""

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from ultralytics.nn import tasks
from ultralytics.utils import LOGGER

from akyolo.model_yaml import Call, fill, lower

ParseModel = Callable[..., tuple[nn.Sequential, list[int]]]


def install() -> None:
    """Make upstream build our rows, unless it does."""
    if not getattr(tasks.parse_model, "understands_akyolo", False):
        tasks.parse_model = _with_our_rows(tasks.parse_model)
    if not getattr(tasks.DetectionModel.init_criterion, "understands_akyolo", False):
        tasks.DetectionModel.init_criterion = _with_loss_of_head(tasks.DetectionModel.init_criterion)


def _with_our_rows(original: ParseModel) -> ParseModel:
    """Return `parse_model` for YAMLs with our rows too."""

    @functools.wraps(original)
    def parse_model(d: dict[str, Any], ch: int, verbose: bool = True) -> tuple[nn.Sequential, list[int]]:
        lowered, plan = lower(d, _module_names())
        if not plan.rows:
            return original(d, ch, verbose)
        with _layer_table() as lines:
            layers, save = original(lowered, ch, verbose)
        calls = fill(layers, plan)
        for line in lines:
            LOGGER.info(_table_line(line, layers, calls))
        return layers, save

    parse_model.understands_akyolo = True  # type: ignore[attr-defined]
    return parse_model


def _with_loss_of_head(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return `init_criterion` that asks the head first."""

    @functools.wraps(original)
    def init_criterion(model: Any) -> Any:
        build = getattr(model.model[-1], "build_criterion", None)
        return original(model) if build is None else build(model)

    init_criterion.understands_akyolo = True  # type: ignore[attr-defined]
    return init_criterion


def _module_names() -> list[str]:
    """Return the module classes that upstream's parser can build."""
    return [name for name, value in vars(tasks).items() if isinstance(value, type) and issubclass(value, nn.Module)]


@contextmanager
def _layer_table() -> Iterator[list[str]]:
    """Collect upstream's layer table, which shows the stand-ins."""
    lines: list[str] = []

    def hold(record: logging.LogRecord) -> bool:
        if record.levelno == logging.INFO:
            lines.append(record.getMessage())
        return record.levelno != logging.INFO

    LOGGER.addFilter(hold)
    try:
        yield lines
    finally:
        LOGGER.removeFilter(hold)


def _table_line(line: str, layers: nn.Sequential, calls: dict[int, Call]) -> str:
    """Return a line of the layer table with our module.

    Args:
        line: line of upstream's table.
        layers: layers of the model.
        calls: our modules by row number, with their arguments.
    """
    number = line.split(maxsplit=1)[0] if line.strip() else ""
    if not number.isdigit() or int(number) not in calls:
        return line
    module, call = layers[int(number)], calls[int(number)]
    return f"{module.i:>3}{module.f!s:>20}{call.repeats:>3}{module.np:10.0f}  {module.type:<45}{call.arguments!s:<30}"
