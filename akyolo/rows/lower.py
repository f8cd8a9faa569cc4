"""Turn rows of ours into rows that upstream's `parse_model` understands, and remember ours in a plan."""

import ast
import contextlib
import inspect
import json
from collections.abc import Collection, Mapping
from typing import Any

from torch import nn

from akyolo.errors import RowError, did_you_mean
from akyolo.registry import OperatorSpec, is_operator, operator, operators
from akyolo.rows.activation import check_activation
from akyolo.rows.plan import Plan, PlannedRow


def lower(cfg: Mapping[str, Any], upstream_modules: Collection[str]) -> tuple[Mapping[str, Any], Plan]:
    """Check a model YAML and replace each row of ours by a stand-in with the same channel, stride and repeat law.

    Args:
        cfg: the model YAML as a mapping; not changed.
        upstream_modules: the module names that upstream's `parse_model` resolves by itself.

    Returns:
        The lowered mapping (the same object when no row is ours), and the plan of what to fill in.

    Raises:
        RowError: a row, or the mapping itself, that cannot be built; it names file and row.
    """
    file = str(cfg.get("source_file") or cfg.get("yaml_file") or "model yaml")
    check_activation(cfg.get("activation"), f"{file}, activation")
    planned, sections, index = [], {}, 0
    for section in ("backbone", "head"):
        rows = []
        for row in _section(cfg, section, file):
            where = f"{file}, row {index}"
            source, repeats, name, args = _checked_row(row, where, upstream_modules)
            _check_source(source, index, where)
            if is_operator(name):
                if not _is_whole(source):
                    raise RowError(f"{name} looks at one row, not at {source!r}", where=where)
                ours, args = _lower_row(operator(name), index, args, where)
                planned.append(ours)
                name = operator(ours.operator).stands_in
            rows.append([source, repeats, name, args])
            index += 1
        sections[section] = rows
    return ({**cfg, **sections} if planned else cfg), Plan(tuple(planned))


def grammar(spec: OperatorSpec) -> str:
    """How a row of this operator is written, with the defaults: `[c2, num_param, stride=1, {shape: null, ...}]`."""
    parameters = _row_signature(spec).parameters.values()
    by_place = [p for p in parameters if p.default is p.empty or p.name == "stride"]
    places = [p.name if p.default is p.empty else f"{p.name}={p.default}" for p in by_place]
    keywords = ", ".join(f"{p.name}: {_yaml(p.default)}" for p in parameters if p not in by_place)
    return f"[{', '.join([*places, *(['{' + keywords + '}'] if keywords else [])])}]"


def _yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _section(cfg: Mapping[str, Any], section: str, file: str) -> list[Any]:
    rows = cfg.get(section)
    if not isinstance(rows, list) or not rows:
        raise RowError(
            f"no list of rows under '{section}:'", where=file, remedy="a row is [from, repeats, module, args]"
        )
    return rows


def _checked_row(row: Any, where: str, upstream_modules: Collection[str]) -> tuple[Any, int, str, list[Any]]:
    shape = "a row is [from, repeats, module, [arguments]]"
    if not isinstance(row, list) or len(row) != 4 or not isinstance(row[3], list):
        raise RowError(f"{row!r} is no row", where=where, remedy=shape)
    source, repeats, name, args = row
    sources = source if isinstance(source, list) else [source]
    if not sources or not all(_is_whole(s) for s in sources):
        raise RowError(f"from={source!r} must be a row number, or a list of them", where=where, remedy=shape)
    if not _is_whole(repeats) or repeats < 1:
        raise RowError(f"repeats={repeats!r} must be a whole number of at least 1", where=where, remedy=shape)
    if not isinstance(name, str):
        raise RowError(f"module {name!r} must be a name", where=where, remedy=shape)
    if not is_operator(name) and name not in upstream_modules and not _is_library_module(name):
        known = [*upstream_modules, *(spec.name for spec in operators())]
        raise RowError(f"unknown module {name!r}", where=where, remedy=did_you_mean(name, known))
    return source, repeats, name, args


def _is_library_module(name: str) -> bool:
    """`nn.Name` or `torchvision.ops.Name`, which upstream looks up there."""
    library, _, attribute = name.rpartition(".")
    return (library == "nn" and hasattr(nn, attribute)) or library == "torchvision.ops"


def _check_source(source: Any, index: int, where: str) -> None:
    """A row looks back: -1 is the row before, 0 the first of all."""
    for row in source if isinstance(source, list) else [source]:
        if not -max(index, 1) <= row < max(index, 1):
            raise RowError(f"from={source!r} names no row before this one", where=where)


def _lower_row(spec: OperatorSpec, index: int, args: list[Any], where: str) -> tuple[PlannedRow, list[Any]]:
    """Our row as a plan, and the arguments of its stand-in: a 1x1 with the same output channels and stride."""
    bound = _bind(spec, args, where)
    channels, stride = bound.arguments["c2"], bound.arguments.get("stride", 1)
    if channels != "nc" and (not _is_whole(channels) or channels < 1):
        raise RowError(f"output channels {channels!r} must be a whole number of at least 1", where=where)
    if not _is_whole(stride) or stride < 1:
        raise RowError(f"stride={stride!r} must be a whole number of at least 1", where=where)
    planned = PlannedRow(index, spec.name, bound.args[1:], bound.kwargs, where)
    return planned, [channels, 1, stride]


def _bind(spec: OperatorSpec, args: list[Any], where: str) -> inspect.BoundArguments:
    keywords = args[-1] if args and isinstance(args[-1], dict) else {}
    positional = [_literal(a) for a in (args[:-1] if keywords or (args and args[-1] == {}) else args)]
    signature = _row_signature(spec)
    remedy = f"{spec.name} takes {grammar(spec)}"
    for keyword in keywords:
        if keyword not in signature.parameters:
            hint = did_you_mean(str(keyword), signature.parameters)
            raise RowError(f"{spec.name} has no argument {keyword!r}, {hint}", where=where, remedy=remedy)
    try:
        return signature.bind(*positional, **{key: _literal(value) for key, value in keywords.items()})
    except TypeError as error:
        raise RowError(f"{spec.name} {args}: {error}", where=where, remedy=remedy) from None


def _row_signature(spec: OperatorSpec) -> inspect.Signature:
    """The constructor's signature minus c1, which upstream knows."""
    parameters = [p for name, p in spec.signature.parameters.items() if name != "c1"]
    return inspect.Signature(parameters)


def _literal(value: Any) -> Any:
    """Read `None` as upstream's rows may write it."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError, SyntaxError):
            return ast.literal_eval(value)
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
