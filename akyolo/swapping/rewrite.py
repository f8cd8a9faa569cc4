"""Swap convolutions of a model YAML."""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

from akyolo.errors import RowError
from akyolo.model_yaml.syntax import section, source_of
from akyolo.swapping.convolutions import read_convolution, read_row
from akyolo.swapping.places import select_rows
from akyolo.swapping.rule import SwapRule, bind_rule, find_operator


class ChangedRow(NamedTuple):
    """One row of the model, before and after."""

    number: int
    before: list[Any]
    after: list[Any]


def swap(cfg: Mapping[str, Any], rule: SwapRule) -> tuple[dict[str, Any], list[ChangedRow]]:
    """Return a model YAML with the rule's operator.

    The operator is written into the rows that the rule names.

    Channels, strides and sources of the rows stay as they are.

    Args:
        cfg: a model YAML as a mapping; not changed.
        rule: what to write where.

    Returns:
        The new mapping, which shares nothing with `cfg`, and its changed rows in order.

    Raises:
        RowError: an operator, argument or place that cannot be used, a row that cannot be read, or a rule that changes
            no row.

    Example:
        >>> from akyolo.swapping import SwapRule, swap
        >>> cfg = {"backbone": [[-1, 1, "Conv", [64, 3, 2]]], "head": [[-1, 1, "Detect", ["nc"]]]}
        >>> swap(cfg, SwapRule("AKConv", (5,), "0"))[0]["backbone"]
        [[-1, 1, 'AKConv', [64, 5, 2]]]
    """
    spec, file = find_operator(rule.op), source_of(cfg)
    backbone, head = (section(cfg, name, file) for name in ("backbone", "head"))
    rows = [read_row(row, f"{file}, row {number}") for number, row in enumerate([*backbone, *head])]
    places = {number: read_convolution(row, rule.where == "pointwise") for number, row in enumerate(rows)}
    convolutions = {number: place for number, place in places.items() if place}
    numbers = select_rows(rule.where, rows, convolutions, len(backbone), file)
    bound = bind_rule(rule, spec, dict.fromkeys(convolutions[number].role for number in numbers))
    written = copy.deepcopy([*backbone, *head])
    changes = []
    for number in numbers:
        before, after = written[number], convolutions[number].write(rows[number], bound)
        if after != before:
            changes.append(ChangedRow(number, before, copy.deepcopy(after)))
            written[number] = after
    if not changes:
        listed = f"row{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
        raise RowError(f"{rule.where} changes nothing: this operator is already in {listed}", location=file)
    sections = {"backbone": written[: len(backbone)], "head": written[len(backbone) :]}
    return {**copy.deepcopy(dict(cfg)), **sections}, changes
