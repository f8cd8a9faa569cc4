"""Put our modules where upstream has built stand-ins."""

from typing import Any

from torch import nn

from akyolo.errors import RowError
from akyolo.registry import operator
from akyolo.rows.plan import Plan, PlannedRow


def fill(layers: nn.Sequential, plan: Plan) -> dict[int, list[Any]]:
    """Replace each stand-in by our module, with the channels, repeats and activation that upstream decided.

    Returns:
        By row index, what the module was called with: c1, c2 and the row's own arguments.

    Raises:
        RowError: an argument that the operator refuses, or repeats that change the channels; names file and row.
    """
    called = {}
    for row in plan.rows:
        stand_in = layers[row.index]
        repeated = list(stand_in) if isinstance(stand_in, nn.Sequential) else [stand_in]
        c1, c2, act = _decided(repeated[0])
        if len(repeated) > 1 and c1 != c2:
            raise RowError(
                f"{len(repeated)} repeats of {row.operator} need as many input as output channels, here {c1} and {c2}",
                where=row.where,
                remedy="write the first as a row of its own",
            )
        modules = [_one(row, c1, c2, act) for _ in repeated]
        layers[row.index] = _labelled(nn.Sequential(*modules) if len(modules) > 1 else modules[0], row, stand_in)
        called[row.index] = [c1, c2, *row.args, *([dict(row.keywords)] if row.keywords else [])]
    return called


def _decided(stand_in: Any) -> tuple[int, int, nn.Module]:
    """What upstream decided for one Conv: input and output channels, activation."""
    return stand_in.conv.in_channels, stand_in.conv.out_channels, stand_in.act


def _labelled(module: nn.Module, row: PlannedRow, stand_in: nn.Module) -> nn.Module:
    """What upstream hangs on every layer: index, source, type for the table, number of parameters."""
    kind = operator(row.operator).module
    vars(module).update(
        i=stand_in.i,
        f=stand_in.f,
        type=f"{kind.__module__}.{kind.__qualname__}",
        np=sum(p.numel() for p in module.parameters()),
    )
    return module


def _one(row: PlannedRow, c1: int, c2: int, act: nn.Module) -> nn.Module:
    spec = operator(row.operator)
    # the YAML's `activation:` holds while upstream builds the stand-in, no longer here
    bound = spec.signature.bind(c1, c2, *row.args, **row.keywords)
    if "act" in spec.signature.parameters and bound.arguments.get("act", True) is True:
        bound.arguments["act"] = act
    try:
        return spec.module(*bound.args, **bound.kwargs)
    except RowError as error:
        raise row.error(error) from None
