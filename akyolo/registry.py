"""The modules that a model YAML may name: operators, blocks and heads."""

import importlib
import inspect
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, TypeVar

import torch
from torch import nn

from akyolo.errors import RowError, did_you_mean, first_line

ENTRY_POINTS = "akyolo.operators"

Module = TypeVar("Module", bound=type[nn.Module])
STAND_INS = ("Conv", "Bottleneck", "Detect", "Classify")  # of an operator, a block, and two kinds of heads


@dataclass(frozen=True)
class OperatorSpec:
    """One module: the name a YAML row uses, its class, and the upstream module whose channel law it follows.

    The constructor's first parameter is what upstream knows by itself: `c1` of an operator (which stands in for Conv),
    of a block (Bottleneck) or of a head on one level (Classify); the channels `ch` of all levels of a head (Detect).
    """

    name: str
    module: type[nn.Module]
    stands_in: str

    @property
    def signature(self) -> inspect.Signature:
        """The constructor's signature without `self`: what a row binds to."""
        return inspect.signature(self.module)

    def built(self, activation: nn.Module | None, /, *args: Any, **keywords: Any) -> nn.Module:
        """The module in the place of one with this activation, unless its own `act` names another."""
        bound = self.signature.bind(*args, **keywords)
        if "act" in self.signature.parameters and bound.arguments.get("act", True) is True:
            bound.arguments["act"] = activation  # upstream's `activation:` holds only while it builds its own modules
        return self.module(*bound.args, **bound.kwargs)


_operators: dict[str, OperatorSpec] = {}


def loadable(module: Module) -> Module:
    """A layer that stands inside of operators: a weights-only load may build it."""
    torch.serialization.add_safe_globals([module])
    return module


def register(name: str | None = None, *, stands_in: str = "Conv") -> Callable[[Module], Module]:
    """Make a module usable in a model YAML, under its class name unless `name` is given.

    Raises:
        ValueError: the name is taken by another module, or upstream's module is none of STAND_INS.
    """
    if stands_in not in STAND_INS:
        raise ValueError(f"nothing can stand in for {stands_in!r}, only for {', '.join(STAND_INS)}")

    def add(module: Module) -> Module:
        key = name or module.__name__
        known = _operators.get(key)
        if known and known.module is not module:
            raise ValueError(f"operator {key!r} is already registered by {known.module.__module__}")
        _operators[key] = OperatorSpec(key, module, stands_in)
        return loadable(module)

    return add


def import_installed() -> None:
    """Import the modules that installed packages list under the entry-point group `akyolo.operators`.

    So every process has their operators: commands, workers, whatever reads a checkpoint. A module that cannot be
    imported is named in a warning of one line, and stops nothing: only its own operators are missing.
    """
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            importlib.import_module(entry.module)
        except (Exception, SystemExit) as error:  # code of others
            logging.getLogger("akyolo").warning(
                "akyolo: without the operators of the package %r: its entry point %r cannot be imported (%s: %s)",
                entry.dist.name if entry.dist else entry.name,
                entry.value,
                type(error).__name__,
                first_line(error),
            )


def operator(name: str) -> OperatorSpec:
    """Look an operator up by name.

    Raises:
        RowError: there is no such operator; the message names the closest.
    """
    if name not in _operators:
        raise RowError(f"unknown operator {name!r}", remedy=did_you_mean(name, _operators))
    return _operators[name]


def operators() -> Iterator[OperatorSpec]:
    """All registered operators, by name; a block or a head is none."""
    return (spec for name, spec in sorted(_operators.items()) if spec.stands_in == "Conv")


def is_registered(name: object) -> bool:
    """Whether a YAML row with this module name is ours."""
    return name in _operators


def registered_names() -> list[str]:
    """Every name of ours that a YAML row may hold."""
    return sorted(_operators)
