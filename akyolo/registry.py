"""Register modules for model YAMLs, and their names in checkpoints.

A pickle names a class by its module. Every class of ours in a checkpoint is stored as `akyolo.NAME`, whatever file it
is defined in, so that files can be moved. Checkpoints of version 0.1 name the files of that version (`FORMER_NAMES`).
"""

import importlib
import inspect
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, TypeVar

import torch
from torch import nn

from akyolo.errors import RowError, did_you_mean, first_line

PACKAGE = "akyolo"
ENTRY_POINTS = "akyolo.operators"
# the modules of version 0.1, and which of their classes its checkpoints hold
FORMER_NAMES = {
    "akyolo.blocks.depthwise_bottleneck": ("DWBottleneck",),
    "akyolo.blocks.inverted_residual": ("InvertedResidual",),
    "akyolo.heads.anchor_detect": ("AnchorDetect", "IDetect"),
    "akyolo.heads.classifier": ("Classifier",),
    "akyolo.ops.akconv": ("AKConv",),
    "akyolo.ops.cond_conv": ("CondConv", "ExpertConv"),
    "akyolo.ops.deform_conv": ("DeformConv", "DeformedConv", "ModulatedDeformConv"),
    "akyolo.ops.deform_kernel": ("DeformKernel", "DeformKernelConv", "GlobalDeformKernel"),
    "akyolo.ops.dsconv": ("DSConv",),
    "akyolo.ops.irregular_conv": ("IrregularConv", "IrregularLayer"),
    "akyolo.ops.rfaconv": ("RFAConv",),
    "akyolo.sampling.column_conv": ("ColumnConv",),
    "akyolo.sampling.offset_conv": ("OffsetConv", "ZeroConv", "ZeroLinear"),
    "akyolo.sampling.scope_conv": ("ScopeConv",),
}

Module = TypeVar("Module", bound=type[nn.Module])
STAND_INS = ("Conv", "Bottleneck", "Detect", "Classify")  # of an operator, a block, and two kinds of heads


@dataclass(frozen=True)
class OperatorSpec:
    """A module that a model YAML may name.

    Upstream itself gives the first argument of the constructor. This is `c1` for an operator (which stands in for
    Conv), for a block (Bottleneck) and for a head on one level (Classify); it is the channels `ch` of all levels for a
    head on several levels (Detect).

    Args:
        name: the name in a row.
        module: the class.
        stands_in: the Ultralytics module in whose place it is built.
    """

    name: str
    module: type[nn.Module]
    stands_in: str

    @property
    def source(self) -> ModuleType:
        """Return the Python module that defines the class."""
        return sys.modules.get(defining_module(self.module)) or ModuleType(defining_module(self.module))

    @property
    def signature(self) -> inspect.Signature:
        """Return the constructor's signature without `self`."""
        return inspect.signature(self.module)

    def build(self, activation: nn.Module | None, /, *args: Any, **keywords: Any) -> nn.Module:
        """Build the module.

        Args:
            activation: the activation of the Ultralytics module in whose place it is built. It is used if `act` is
                true or not given.
            args: arguments of the constructor.
            keywords: further arguments of the constructor.
        """
        bound = self.signature.bind(*args, **keywords)
        if "act" in self.signature.parameters and bound.arguments.get("act", True) is True:
            bound.arguments["act"] = (
                activation  # upstream's `activation:` is set only while upstream builds its own modules
            )
        return self.module(*bound.args, **bound.kwargs)


_operators: dict[str, OperatorSpec] = {}
_defined_in: dict[type, str] = {}


def checkpoint_class(module: Module) -> Module:
    """Let checkpoints store a class and weights-only loading build it.

    Checkpoints store a class of ours as `akyolo.NAME`, whatever file defines it. Classes of other packages keep their
    names. `register` calls this for operators, blocks and heads; a layer inside them needs the decorator itself.

    Raises:
        ValueError: another class of ours has the same name.
    """
    torch.serialization.add_safe_globals([module])
    if module.__module__.startswith(f"{PACKAGE}."):
        package = sys.modules[PACKAGE]
        if hasattr(package, module.__name__):
            raise ValueError(f"{PACKAGE}.{module.__name__} is already another class: checkpoints would confuse them")
        _defined_in[module] = module.__module__
        module.__module__ = PACKAGE
        setattr(package, module.__name__, module)
    return module


def defining_module(module: type) -> str:
    """Return the name of the Python module that defines a class.

    For our classes `__module__` is `akyolo`, the name in checkpoints.
    """
    return _defined_in.get(module, module.__module__)


def open_former_names() -> None:
    """Let checkpoints of version 0.1 open.

    Plain and weights-only loading look a class up by the module and name in the file. Modules that no longer exist get
    an entry in `sys.modules` with the classes that they had.
    """
    for former, names in FORMER_NAMES.items():
        module = sys.modules.setdefault(former, ModuleType(former))
        for name in names:
            current = getattr(sys.modules[PACKAGE], name)
            vars(module).setdefault(name, current)
            torch.serialization.add_safe_globals([(current, f"{former}.{name}")])


def register(name: str | None = None, *, stands_in: str = "Conv") -> Callable[[Module], Module]:
    """Make a module usable in a model YAML.

    Args:
        name: the name that a row writes; by default the name of the class.
        stands_in: the Ultralytics module whose channel and stride law it follows: `Conv` for an operator (constructor
            `(c1, c2, ..., stride=1)`), `Bottleneck` for a block, `Detect` or `Classify` for a head.

    Returns:
        A class decorator, which returns the class unchanged.

    Raises:
        ValueError: the name belongs to another module, or `stands_in` is not in STAND_INS.

    Example:
        >>> import torch
        >>> import akyolo
        >>> @akyolo.register()
        ... class Shifted(torch.nn.Conv2d):
        ...     def __init__(self, c1: int, c2: int, kernel_size: int, stride: int = 1) -> None:
        ...         super().__init__(c1, c2, kernel_size, stride, kernel_size // 2)
        >>> "Shifted" in [spec.name for spec in akyolo.operators()]
        True
    """
    if stands_in not in STAND_INS:
        raise ValueError(f"nothing can stand in for {stands_in!r}, only for {', '.join(STAND_INS)}")

    def add(module: Module) -> Module:
        key = name or module.__name__
        registered = _operators.get(key)
        if registered and registered.module is not module:
            raise ValueError(f"operator {key!r} is already registered by {defining_module(registered.module)}")
        _operators[key] = OperatorSpec(key, checkpoint_class(module), stands_in)
        return module

    return add


def import_installed() -> None:
    """Import the operators of installed packages.

    Packages list their modules under the entry-point group `akyolo.operators`. Every process has their operators:
    commands, workers, and all that reads a checkpoint. If a module cannot be imported, a warning of one line names it,
    and only its own operators are missing.
    """
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            importlib.import_module(entry.module)
        except (Exception, SystemExit) as error:  # other people's code may raise anything
            logging.getLogger("akyolo").warning(
                "akyolo: without the operators of the package %r: its entry point %r cannot be imported (%s: %s)",
                entry.dist.name if entry.dist else entry.name,
                entry.value,
                type(error).__name__,
                first_line(error),
            )


def operator(name: str) -> OperatorSpec:
    """Return the operator, block or head with this name.

    Raises:
        RowError: there is no such operator; the message names the closest.

    Example:
        >>> from akyolo.registry import operator
        >>> operator("RFAConv").stands_in
        'Conv'
    """
    if name not in _operators:
        raise RowError(f"unknown operator {name!r}", remedy=did_you_mean(name, _operators))
    return _operators[name]


def operators() -> tuple[OperatorSpec, ...]:
    """Return all registered operators, sorted by name.

    Blocks and heads are not among them.

    Example:
        >>> import akyolo
        >>> [spec.name for spec in akyolo.operators()][:3]
        ['AKConv', 'CondConv', 'DSConv']
        >>> akyolo.operators()[0].module is akyolo.AKConv
        True
    """
    return tuple(spec for name, spec in sorted(_operators.items()) if spec.stands_in == "Conv")


def is_registered(name: object) -> bool:
    """Return whether a module of ours has this name."""
    return name in _operators


def registered_names() -> list[str]:
    """Return all registered names, sorted."""
    return sorted(_operators)
