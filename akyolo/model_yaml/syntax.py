"""Read the rows of a model YAML."""

import ast
import contextlib
import inspect
import json
import re
from collections.abc import Mapping
from typing import Any

from akyolo.errors import RowError, did_you_mean
from akyolo.registry import OperatorSpec

# upstream's blocks whose bottlenecks can hold an operator, written `C3(AKConv)`
BLOCKS = ("C3", "C2f", "C3k2")
ROW = "a row is [from, repeats, module, [arguments]]"
_INSIDE = re.compile(r"^(?P<block>\w+)\((?P<operator>\w+)\)$")


def source_of(cfg: Mapping[str, Any]) -> str:
    """Return the file name of a model YAML.

    Messages show it.
    """
    return str(cfg.get("source_file") or cfg.get("yaml_file") or "model yaml")


def section(cfg: Mapping[str, Any], name: str, file: str) -> list[Any]:
    """Return the rows under `backbone:` or `head:`.

    Raises:
        RowError: there is no list of rows.
    """
    rows = cfg.get(name)
    if not isinstance(rows, list) or not rows:
        raise RowError(
            f"no list of rows under '{name}:'", location=file, remedy="a row is [from, repeats, module, args]"
        )
    return rows


def split_row(row: Any, location: str) -> list[Any]:
    """Return the four parts of a row.

    They are its source, repeats, module and arguments.

    Raises:
        RowError: it is not a row.
    """
    if not isinstance(row, list) or len(row) != 4 or not isinstance(row[3], list):
        raise RowError(f"{row!r} is not a row", location=location, remedy=ROW)
    return row


def block_and_operator(name: str) -> tuple[str | None, str]:
    """Split `C3(AKConv)` into block and operator.

    Example:
        >>> from akyolo.model_yaml.syntax import block_and_operator
        >>> block_and_operator("C3(AKConv)"), block_and_operator("Conv")
        (('C3', 'AKConv'), (None, 'Conv'))
    """
    match = _INSIDE.match(name)
    return (match["block"], match["operator"]) if match else (None, name)


def grammar(spec: OperatorSpec) -> str:
    """Return how an operator's row is written.

    Defaults are shown.

    Example:
        >>> import akyolo
        >>> from akyolo.model_yaml import grammar
        >>> from akyolo.registry import operator
        >>> grammar(operator("IDetect"))
        '[nc, anchors]'
    """
    parameters = row_signature(spec).parameters.values()
    by_place = [p for p in parameters if p.default is p.empty or p.name == "stride"]
    places = [p.name if p.default is p.empty else f"{p.name}={p.default}" for p in by_place]
    keywords = ", ".join(f"{p.name}: {_yaml(p.default)}" for p in parameters if p not in by_place)
    return f"[{', '.join([*places, *(['{' + keywords + '}'] if keywords else [])])}]"


def bind(spec: OperatorSpec, args: list[Any], location: str) -> inspect.BoundArguments:
    """Bind the arguments of a row to the constructor.

    Raises:
        RowError: a keyword that the constructor does not have, or too many or too few arguments.
    """
    positional, keywords = split_mapping(args)
    signature = row_signature(spec)
    remedy = f"{spec.name} takes {grammar(spec)}"
    for keyword in keywords:
        if keyword not in signature.parameters:
            hint = did_you_mean(str(keyword), signature.parameters)
            raise RowError(f"{spec.name} has no argument {keyword!r}, {hint}", location=location, remedy=remedy)
    try:
        literals = {key: literal(value) for key, value in keywords.items()}
        return signature.bind(*(literal(value) for value in positional), **literals)
    except TypeError as error:
        raise RowError(f"{spec.name} {args}: {error}", location=location, remedy=remedy) from None


def split_mapping(args: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return arguments by place and by name.

    Example:
        >>> from akyolo.model_yaml.syntax import split_mapping
        >>> split_mapping([128, 5, {"shape": "d"}])
        ([128, 5], {'shape': 'd'})
    """
    return (args[:-1], args[-1]) if args and isinstance(args[-1], dict) else (args, {})


def row_signature(spec: OperatorSpec) -> inspect.Signature:
    """Return the signature that a row binds to.

    It is the constructor's without its first parameter, which upstream gives.
    """
    return inspect.Signature(list(spec.signature.parameters.values())[1:])


def literal(value: Any) -> Any:
    """Return the value of a text like `None`.

    Rows of upstream write values so. Any other text stays as it is. Values inside a mapping are read too.

    Example:
        >>> from akyolo.model_yaml import literal
        >>> literal("None"), literal("nearest"), literal({"act": "False"})
        (None, 'nearest', {'act': False})
    """
    if isinstance(value, dict):
        return {key: literal(inner) for key, inner in value.items()}
    if isinstance(value, str):
        with contextlib.suppress(ValueError, SyntaxError):
            return ast.literal_eval(value)
    return value


def _yaml(value: Any) -> str:
    """Return a default value as YAML."""
    return value if isinstance(value, str) else json.dumps(value)
