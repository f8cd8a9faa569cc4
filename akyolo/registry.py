"""The operators that a model YAML may name."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from akyolo.errors import RowError, did_you_mean

Module = TypeVar("Module", bound=type[nn.Module])


@dataclass(frozen=True)
class OperatorSpec:
    """One operator: the name a YAML row uses, its module, and the upstream module whose channel law it follows."""

    name: str
    module: type[nn.Module]
    stands_in: str

    @property
    def signature(self) -> inspect.Signature:
        """The constructor's signature without `self`: what a row binds to."""
        return inspect.signature(self.module)


_operators: dict[str, OperatorSpec] = {}


def register(name: str | None = None, *, stands_in: str = "Conv") -> Callable[[Module], Module]:
    """Make a module usable in a model YAML, under its class name unless `name` is given.

    Raises:
        ValueError: the name is taken by another module.
    """

    def add(module: Module) -> Module:
        key = name or module.__name__
        known = _operators.get(key)
        if known and known.module is not module:
            raise ValueError(f"operator {key!r} is already registered by {known.module.__module__}")
        _operators[key] = OperatorSpec(key, module, stands_in)
        torch.serialization.add_safe_globals([module])  # a weights-only load may build it
        return module

    return add


def operator(name: str) -> OperatorSpec:
    """Look an operator up by name.

    Raises:
        RowError: there is no such operator; the message names the closest.
    """
    if name not in _operators:
        raise RowError(f"unknown operator {name!r}", remedy=did_you_mean(name, _operators))
    return _operators[name]


def operators() -> Iterator[OperatorSpec]:
    """All registered operators, by name."""
    return iter(sorted(_operators.values(), key=lambda spec: spec.name))


def is_operator(name: object) -> bool:
    """Whether a YAML row with this module name is ours."""
    return name in _operators
