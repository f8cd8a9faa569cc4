"""Turn rows of ours into rows that upstream's `parse_model` understands, and remember ours in a plan."""

from collections.abc import Collection, Mapping
from typing import Any

from torch import nn

from akyolo.checks import COUNTING, WHOLE, check_number
from akyolo.errors import RowError, did_you_mean
from akyolo.model_yaml.activation import check_activation
from akyolo.model_yaml.lowered_rows import Plan, PlannedRow
from akyolo.model_yaml.stand_ins import STAND_INS
from akyolo.model_yaml.syntax import (
    BLOCKS,
    ROW,
    bind,
    block_and_operator,
    literal,
    parts,
    section,
    source_of,
    split_mapping,
)
from akyolo.registry import OperatorSpec, is_registered, operator, operators, registered_names


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
    file = source_of(cfg)
    check_activation(cfg.get("activation"), f"{file}, activation")
    planned, sections, index = [], {}, 0
    last = sum(len(section(cfg, name, file)) for name in ("backbone", "head")) - 1
    for part in ("backbone", "head"):
        rows = []
        for row in cfg[part]:
            location = f"{file}, row {index}"
            source, repeats, name, args = _checked_row(row, location, upstream_modules)
            _check_source(source, index, location)
            block, inner = block_and_operator(name)
            if is_registered(inner):
                row_of_ours, args = _lower_row(operator(inner), block, index, args, cfg, location)
                _check_place(operator(inner), source, repeats, index == last, location)
                planned.append(row_of_ours)
                name = block or operator(inner).stands_in
            rows.append([source, repeats, name, args])
            index += 1
        sections[part] = rows
    return ({**cfg, **sections} if planned else cfg), Plan(tuple(planned))


def _checked_row(row: Any, location: str, upstream_modules: Collection[str]) -> tuple[Any, int, str, list[Any]]:
    source, repeats, name, args = parts(row, location)
    sources = source if isinstance(source, list) else [source]
    if not sources or not all(s in WHOLE for s in sources):
        raise RowError(f"from={source!r} must be a row number, or a list of them", location=location, remedy=ROW)
    check_number(f"repeats={repeats!r}", repeats, COUNTING, location=location, remedy=ROW)
    if not isinstance(name, str):
        raise RowError(f"module {name!r} must be a name", location=location, remedy=ROW)
    _check_name(name, location, upstream_modules)
    return source, repeats, name, args


def _check_name(name: str, location: str, upstream_modules: Collection[str]) -> None:
    block, inner = block_and_operator(name)
    if block:
        if block not in BLOCKS:
            raise RowError(f"no operator goes into {block!r}", location=location, remedy=did_you_mean(block, BLOCKS))
        fitting = [spec.name for spec in operators()]
        if inner not in fitting:
            raise RowError(f"no operator {inner!r} for {block}", location=location, remedy=did_you_mean(inner, fitting))
    elif not is_registered(name) and name not in upstream_modules and not _is_library_module(name):
        known = [*upstream_modules, *registered_names()]
        raise RowError(f"unknown module {name!r}", location=location, remedy=did_you_mean(name, known))


def _is_library_module(name: str) -> bool:
    """`nn.Name` or `torchvision.ops.Name`, which upstream looks up there."""
    library, _, attribute = name.rpartition(".")
    return (library == "nn" and hasattr(nn, attribute)) or library == "torchvision.ops"


def _check_source(source: Any, index: int, location: str) -> None:
    """A row looks back: -1 is the row before, 0 the first of all."""
    for row in source if isinstance(source, list) else [source]:
        if not -max(index, 1) <= row < max(index, 1):
            raise RowError(f"from={source!r} names no row before this one", location=location)


def _check_place(spec: OperatorSpec, source: Any, repeats: int, is_last: bool, location: str) -> None:
    """All look at one row, but a head for several levels at a list of them; a head ends the model."""
    stand_in = STAND_INS[spec.stands_in]
    fits = isinstance(source, list) == stand_in.sees_levels
    if not stand_in.is_head and not fits:
        raise RowError(f"{spec.name} looks at one row, not at {source!r}", location=location)
    if stand_in.is_head and not (fits and is_last and repeats == 1):
        levels = "a list of rows" if stand_in.sees_levels else "one row"
        raise RowError(f"{spec.name} is a head: the last row, once, which looks at {levels}", location=location)


def _lower_row(
    spec: OperatorSpec, block: str | None, index: int, args: list[Any], cfg: Mapping[str, Any], location: str
) -> tuple[PlannedRow, list[Any]]:
    """Our row as a plan, and the arguments of its stand-in."""
    if block:
        positional, keywords = split_mapping(args)
        inner = _inner(spec, keywords, location)
        return PlannedRow(index, spec.name, (), inner, location, block, tuple(positional[1:])), positional
    stand_in = STAND_INS[spec.stands_in]
    if stand_in.is_head:
        positional, keywords = split_mapping(args)
        of_top = {key: _from_top_level(value, cfg, location) for key, value in keywords.items()}
        args = [*(_from_top_level(value, cfg, location) for value in positional), *([of_top] if of_top else [])]
    bound = bind(spec, args, location)
    if not stand_in.is_head:
        _check_channels_and_stride(bound.arguments, location)
    return PlannedRow(index, spec.name, bound.args[1:], bound.kwargs, location), stand_in.row(bound.arguments)


def _check_channels_and_stride(arguments: Mapping[str, Any], location: str) -> None:
    channels, stride = arguments["c2"], arguments.get("stride", 1)
    if channels != "nc":
        check_number(f"output channels {channels!r}", channels, COUNTING, location=location)
    check_number(f"stride={stride!r}", stride, COUNTING, location=location)


def _inner(spec: OperatorSpec, keywords: Mapping[str, Any], location: str) -> Mapping[str, Any]:
    """The keywords of an operator inside a block, which decides its channels and needs stride 1."""
    for key in ("c2", "stride"):
        if key in keywords:
            raise RowError(
                f"{key} of an operator inside a block is the block's, not {keywords[key]!r}", location=location
            )
    bind(spec, [1, dict(keywords)], location)
    return {key: literal(value) for key, value in keywords.items()}


def _from_top_level(value: Any, cfg: Mapping[str, Any], location: str) -> Any:
    """In the row of a head, `anchors` is the list of that name at the top of the YAML; `nc` is for upstream to read."""
    if value == "nc":
        classes = cfg.get("nc")
        check_number(f"nc: {classes!r} at the top of the file", classes, COUNTING, location=location)
    if value != "anchors":
        return value
    if "anchors" not in cfg:
        raise RowError("there is no 'anchors:' at the top of the file", location=location)
    return cfg["anchors"]
