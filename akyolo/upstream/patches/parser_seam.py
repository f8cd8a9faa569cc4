"""The seam: upstream's `parse_model`, with our rows lowered before and filled in after, and its choice of a loss."""

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
    """Make upstream build our rows; doing it twice changes nothing."""
    if not getattr(tasks.parse_model, "understands_akyolo", False):
        tasks.parse_model = _understanding(tasks.parse_model)
    if not getattr(tasks.DetectionModel.init_criterion, "understands_akyolo", False):
        tasks.DetectionModel.init_criterion = _asking_the_head(tasks.DetectionModel.init_criterion)


def _understanding(original: ParseModel) -> ParseModel:
    @functools.wraps(original)
    def parse_model(d: dict[str, Any], ch: int, verbose: bool = True) -> tuple[nn.Sequential, list[int]]:
        lowered, plan = lower(d, _module_names())
        if not plan.rows:
            return original(d, ch, verbose)
        with _layer_table() as lines:
            layers, save = original(lowered, ch, verbose)
        called = fill(layers, plan)
        for line in lines:
            LOGGER.info(_of_our_row(line, layers, called))
        return layers, save

    parse_model.understands_akyolo = True  # type: ignore[attr-defined]
    return parse_model


def _asking_the_head(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def init_criterion(model: Any) -> Any:
        build = getattr(model.model[-1], "build_criterion", None)
        return original(model) if build is None else build(model)

    init_criterion.understands_akyolo = True  # type: ignore[attr-defined]
    return init_criterion


def _module_names() -> list[str]:
    """What a row may name: every module class that upstream's parser sees."""
    return [name for name, value in vars(tasks).items() if isinstance(value, type) and issubclass(value, nn.Module)]


@contextmanager
def _layer_table() -> Iterator[list[str]]:
    """Hold back the table that upstream logs of the stand-ins."""
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


def _of_our_row(line: str, layers: nn.Sequential, called: dict[int, Call]) -> str:
    """A line of the table; that of a stand-in rewritten for the module that took its place."""
    number = line.split(maxsplit=1)[0] if line.strip() else ""
    if not number.isdigit() or int(number) not in called:
        return line
    module, call = layers[int(number)], called[int(number)]
    return f"{module.i:>3}{module.f!s:>20}{call.repeats:>3}{module.np:10.0f}  {module.type:<45}{call.arguments!s:<30}"
