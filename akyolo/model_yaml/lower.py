"""Replace our rows by stand-ins.

Upstream's `parse_model` knows the stand-ins.
"""

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
    section,
    source_of,
    split_mapping,
    split_row,
)
from akyolo.registry import OperatorSpec, is_registered, operator, operators, registered_names


def lower(cfg: Mapping[str, Any], upstream_modules: Collection[str]) -> tuple[Mapping[str, Any], Plan]:
    """Return a model YAML with stand-ins.

    A stand-in has the same channels, stride and repeats as our module.

    Args:
        cfg: the model YAML as a mapping; not changed.
        upstream_modules: names of the modules that upstream's `parse_model` knows.

    Returns:
        The lowered mapping (the same object if no row is ours), and the plan of our rows for `fill`.

    Raises:
        RowError: a row, or the mapping itself, that cannot be built. It names file and row.

    Example:
        >>> import akyolo
        >>> from akyolo.model_yaml import lower
        >>> cfg = {"backbone": [[-1, 1, "AKConv", [64, 5, 2]]], "head": [[-1, 1, "Classify", ["nc"]]]}
        >>> lowered, plan = lower(cfg, {"Classify"})
        >>> lowered["backbone"], [row.operator for row in plan.rows]
        ([[-1, 1, 'Conv', [64, 1, 2]]], ['AKConv'])
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
    """Return the parts of a row, checked."""
    source, repeats, name, args = split_row(row, location)
    sources = source if isinstance(source, list) else [source]
    if not sources or not all(s in WHOLE for s in sources):
        raise RowError(f"from={source!r} must be a row number, or a list of them", location=location, remedy=ROW)
    check_number(f"repeats={repeats!r}", repeats, COUNTING, location=location, remedy=ROW)
    if not isinstance(name, str):
        raise RowError(f"module {name!r} must be a name", location=location, remedy=ROW)
    _check_name(name, location, upstream_modules)
    return source, repeats, name, args


def _check_name(name: str, location: str, upstream_modules: Collection[str]) -> None:
    """Refuse an unknown module."""
    block, inner = block_and_operator(name)
    if block:
        if block not in BLOCKS:
            raise RowError(f"{block!r} cannot hold an operator", location=location, remedy=did_you_mean(block, BLOCKS))
        names = [spec.name for spec in operators()]
        if inner not in names:
            raise RowError(
                f"there is no operator {inner!r} for {block}", location=location, remedy=did_you_mean(inner, names)
            )
    elif not is_registered(name) and name not in upstream_modules and not _is_library_module(name):
        names = [*upstream_modules, *registered_names()]
        raise RowError(f"unknown module {name!r}", location=location, remedy=did_you_mean(name, names))


def _is_library_module(name: str) -> bool:
    """Return whether a library has this module.

    Upstream looks in `torch.nn` and `torchvision.ops`.
    """
    library, _, attribute = name.rpartition(".")
    return (library == "nn" and hasattr(nn, attribute)) or library == "torchvision.ops"


def _check_source(source: Any, index: int, location: str) -> None:
    """Refuse an input that is not an earlier row."""
    for row in source if isinstance(source, list) else [source]:
        if not -max(index, 1) <= row < max(index, 1):
            raise RowError(f"from={source!r} must name rows before this one", location=location)


def _check_place(spec: OperatorSpec, source: Any, repeats: int, is_last: bool, location: str) -> None:
    """Refuse an impossible place or impossible inputs.

    A head ends the model. A head on several levels takes a list of rows, any other module takes one row.
    """
    stand_in = STAND_INS[spec.stands_in]
    fits = isinstance(source, list) == stand_in.takes_levels
    if not stand_in.is_head and not fits:
        raise RowError(f"{spec.name} takes one input row: from={source!r} must be one row number", location=location)
    if stand_in.is_head and not (fits and is_last and repeats == 1):
        inputs = "a list of input rows" if stand_in.takes_levels else "one input row"
        raise RowError(f"{spec.name} is a head: it must be the last row, with 1 repeat and {inputs}", location=location)


def _lower_row(
    spec: OperatorSpec, block: str | None, index: int, args: list[Any], cfg: Mapping[str, Any], location: str
) -> tuple[PlannedRow, list[Any]]:
    """Return the planned row and its stand-in's arguments."""
    if block:
        positional, keywords = split_mapping(args)
        inner = _read_inner_keywords(spec, keywords, location)
        return PlannedRow(index, spec.name, (), inner, location, block, tuple(positional[1:])), positional
    stand_in = STAND_INS[spec.stands_in]
    if stand_in.is_head:
        positional, keywords = split_mapping(args)
        resolved = {key: _from_top_level(value, cfg, location) for key, value in keywords.items()}
        args = [*(_from_top_level(value, cfg, location) for value in positional), *([resolved] if resolved else [])]
    bound = bind(spec, args, location)
    if not stand_in.is_head:
        _check_channels_and_stride(bound.arguments, location)
    return PlannedRow(index, spec.name, bound.args[1:], bound.kwargs, location), stand_in.row_args(bound.arguments)


def _check_channels_and_stride(arguments: Mapping[str, Any], location: str) -> None:
    """Refuse impossible output channels or an impossible stride."""
    channels, stride = arguments["c2"], arguments.get("stride", 1)
    if channels != "nc":
        check_number(f"output channels {channels!r}", channels, COUNTING, location=location)
    check_number(f"stride={stride!r}", stride, COUNTING, location=location)


def _read_inner_keywords(spec: OperatorSpec, keywords: Mapping[str, Any], location: str) -> Mapping[str, Any]:
    """Return the keywords of an operator inside a block."""
    for key in ("c2", "stride"):
        if key in keywords:
            raise RowError(
                f"{key}={keywords[key]!r}: the block sets {key} of the operator inside it",
                location=location,
                remedy="leave it out",
            )
    bind(spec, [1, dict(keywords)], location)
    return {key: literal(value) for key, value in keywords.items()}


def _from_top_level(value: Any, cfg: Mapping[str, Any], location: str) -> Any:
    """Return the value of a head's argument.

    `anchors` is the list at the top of the YAML. `nc` is only checked here; upstream reads it.
    """
    if value == "nc":
        classes = cfg.get("nc")
        check_number(f"nc: {classes!r} at the top of the file", classes, COUNTING, location=location)
    if value != "anchors":
        return value
    if "anchors" not in cfg:
        raise RowError("there is no 'anchors:' at the top of the file", location=location)
    return cfg["anchors"]
