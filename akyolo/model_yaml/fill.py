"""Replace the stand-ins that upstream built."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from akyolo.blocks.csp import put_inside
from akyolo.errors import RowError
from akyolo.model_yaml.lowered_rows import Plan, PlannedRow
from akyolo.model_yaml.stand_ins import STAND_INS
from akyolo.registry import OperatorSpec, operator


@dataclass(frozen=True)
class Call:
    """What a module was called with.

    The table of layers shows it.

    Args:
        repeats: number of modules.
        arguments: those that upstream decided, then those of the row.
    """

    repeats: int
    arguments: list[Any]


def fill(layers: nn.Sequential, plan: Plan) -> dict[int, Call]:
    """Replace each stand-in by our module.

    Channels, repeats and activation are those that upstream decided.

    Args:
        layers: built from the lowered rows; changed in place.
        plan: our rows.

    Returns:
        By row number, what the module was called with.

    Raises:
        RowError: an argument that the module refuses, or repeats that change the channels. It names file and row.
    """
    calls = {}
    for row in plan.rows:
        stand_in, spec = layers[row.index], operator(row.operator)
        try:
            module, class_name, calls[row.index] = _build(stand_in, row, spec)
        except RowError as error:
            raise row.error(error) from None
        # Upstream sets these attributes of every layer: index, source, type for the table, number of parameters.
        number = sum(p.numel() for p in module.parameters())
        vars(module).update(i=stand_in.i, f=stand_in.f, type=class_name, np=number)
        layers[row.index] = module
    _give_turns(layers)
    return calls


def _give_turns(layers: nn.Sequential) -> None:
    """Give numbers to modules that take turns.

    Numbers count from 0. Such a module has a method `take_turn(number)`, which returns whether it took this turn.
    """
    number = 0
    takers: list[Any] = [module for module in layers.modules() if hasattr(module, "take_turn")]
    for module in takers:
        number += module.take_turn(number)


def _build(stand_in: Any, row: PlannedRow, spec: OperatorSpec) -> tuple[nn.Module, str, Call]:
    """Return a row's module, class name, and call."""
    own = [*row.args, *([dict(row.keywords)] if row.keywords else [])]
    class_name = f"{spec.source.__name__}.{spec.module.__qualname__}"  # says in which file it is
    if row.block:
        put_inside(stand_in, spec, row.keywords)
        closing = stand_in.cv3 if hasattr(stand_in, "cv3") else stand_in.cv2
        channels = [stand_in.cv1.conv.in_channels, closing.conv.out_channels]
        return stand_in, f"{stand_in.type}({spec.name})", Call(len(stand_in.m), [*channels, *row.block_args, *own])
    rules = STAND_INS[spec.stands_in]
    repeated: list[Any] = list(stand_in) if isinstance(stand_in, nn.Sequential) else [stand_in]
    decided, act = rules.decided(repeated[0]), rules.activation(repeated[0])
    if len(repeated) > 1 and decided[0] != decided[1]:
        raise RowError(
            f"{len(repeated)} repeats of {spec.name} need as many input as output channels, "
            f"here {decided[0]} and {decided[1]}",
            remedy="write the first repeat as its own row",
        )
    modules = [spec.build(act, *decided, *row.args, **row.keywords) for _ in repeated]
    module = nn.Sequential(*modules) if len(modules) > 1 else modules[0]
    return module, class_name, Call(len(modules), [*decided, *own])
