"""`akyolo ops [NAME]`: what the docstrings of operators say."""

import argparse
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from typing import Any

from torch import nn

from akyolo.cli import docstrings
from akyolo.model_yaml import grammar, row_text
from akyolo.registry import OperatorSpec, operator, registered_names

SUMMARY = "the operators a model YAML may name"
WIDTH = 100
CHANNELS = 64  # input and output channels of the example
EXAMPLE = 3  # the value of all arguments without a default: a number of taps, or the side of a kernel


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the optional NAME and --json."""
    parser.add_argument("name", nargs="?", help="show this operator whole")
    parser.add_argument("--json", action="store_true", help="print JSON alone")


def run(options: argparse.Namespace) -> None:
    """Print all operators and heads, or one page.

    Raises:
        RowError: there is no such operator.
    """
    if options.name:
        facts = describe(operator(options.name))
        print(json.dumps(facts) if options.json else "\n".join(_page(facts)))
        return
    specs = sorted(map(operator, registered_names()), key=lambda spec: spec.stands_in != "Conv")  # operators first
    described = [describe(spec) for spec in specs]
    print(json.dumps(described) if options.json else "\n".join(line for facts in described for line in _entry(facts)))


def describe(spec: OperatorSpec) -> dict[str, Any]:
    """Return what docstrings and constructor say.

    Returns:
        A mapping, without the entries that the operator does not have:
        name; second_name_of, or other_names; summary, equation (or the opening of the file's header in its place),
        grammar (`[c2, num_param, stride=1, {...}]`), rows (of a model YAML, as text), arguments {name: meaning},
        parameters (the formula and its words), example {arguments, parameters: counted}, paper, deviations.
    """
    class_text, file_text = docstrings.class_doc(spec.module), docstrings.file_doc(spec.source)
    first, *others = sorted(
        (name for name in registered_names() if operator(name).module is spec.module),
        key=lambda name: name != spec.module.__name__,
    )
    documented = meanings(spec.module)
    example = _example(spec)
    facts = {
        "name": spec.name,
        "second_name_of": first if spec.name != first else None,
        "other_names": others if spec.name == first else None,
        "summary": docstrings.opening(class_text),
        "equation": docstrings.equation(file_text) or docstrings.opening(file_text),
        "grammar": grammar(spec),
        "rows": list(_rows(spec, example)),
        "arguments": {p.name: documented[p.name] for p in _row_parameters(spec) if p.name in documented},
        "parameters": docstrings.titled(class_text, "Parameters"),
        "example": example,
        "paper": docstrings.titled(file_text, "Paper"),
        "deviations": docstrings.titled(file_text, "Deviations of the released code"),
    }
    return {key: value for key, value in facts.items() if value}


def meanings(module: type[nn.Module]) -> dict[str, str]:
    """Return the meaning of each documented argument.

    Arguments that the class does not describe are described by the operator from which it derives.
    """
    registered = {operator(name).module for name in registered_names()}
    bases = [base for base in reversed(module.__mro__) if base in registered]
    return {
        name: meaning for base in bases for name, meaning in docstrings.arguments(docstrings.class_doc(base)).items()
    }


def _row_parameters(spec: OperatorSpec) -> list[inspect.Parameter]:
    """Return the constructor's parameters without the first.

    Upstream gives the first one.
    """
    return list(spec.signature.parameters.values())[1:]


def _example(spec: OperatorSpec) -> dict[str, Any] | None:
    """Count the parameters of an operator built by default.

    Returns:
        {arguments, parameters}, or None if it cannot be built so.
    """
    if spec.stands_in == "Detect":
        return None
    first, second, *further = spec.signature.parameters.values()
    needed = {p.name: EXAMPLE for p in further if p.default is p.empty}
    try:
        built = spec.build(nn.SiLU(), CHANNELS, CHANNELS, **needed)
    except Exception:  # a user's own operator may raise anything
        return None
    return {
        "arguments": {first.name: CHANNELS, second.name: CHANNELS, **needed},
        "parameters": sum(p.numel() for p in built.parameters()),
    }


def _rows(spec: OperatorSpec, example: dict[str, Any] | None) -> Iterator[str]:
    """Yield example rows, alone and in a block."""
    if spec.stands_in == "Detect":
        top_level_keys = [p.name for p in _row_parameters(spec) if p.default is p.empty]
        yield row_text([[17, 20, 23], 1, spec.name, top_level_keys])
    if example is None:
        return
    (second, channels), *needed = list(example["arguments"].items())[1:]
    yield row_text([-1, 1, spec.name, ["nc" if second == "nc" else channels, *(value for _, value in needed)]])
    stride = spec.signature.parameters.get("stride")
    if spec.stands_in == "Conv" and (stride is None or stride.default == 1):
        mapping = [dict(needed)] if needed else []
        yield row_text([-1, 1, f"C2f({spec.name})", [channels, True, *mapping]])


def _entry(facts: dict[str, Any]) -> Iterator[str]:
    """Yield name, row and one sentence."""
    if "second_name_of" in facts:
        yield f"{facts['name']}  second name of {facts['second_name_of']}"
        return
    yield from _wrap(f"{facts['name']}  ", facts["grammar"])
    sentence = re.match(r".*?\.(?= |$)|.*", facts.get("summary", ""))
    if sentence and sentence[0]:
        yield from _wrap("    ", sentence[0])


def _page(facts: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of one page."""
    also = f", also {', '.join(facts['other_names'])}" if "other_names" in facts else ""
    second = f", second name of {facts['second_name_of']}" if "second_name_of" in facts else ""
    yield f"{facts['name']}{also}{second}"
    yield from _wrap("", facts.get("summary", ""))
    yield from facts.get("equation", "").splitlines()
    yield ""
    table = [("row", facts["grammar"])]
    table += [("" if i else "example", f"- {row}") for i, row in enumerate(facts.get("rows", []))]
    table += facts.get("arguments", {}).items()
    table += [("parameters", facts["parameters"])] if "parameters" in facts else []
    if "example" in facts:
        given = ", ".join(f"{name}={value}" for name, value in facts["example"]["arguments"].items())
        table.append(("" if "parameters" in facts else "parameters", f"{facts['example']['parameters']:,} for {given}"))
    table += [(name, facts[name]) for name in ("paper", "deviations") if name in facts]
    column = max(len(label) for label, _ in table) + 2
    for label, text in table:
        yield from _wrap(f"{label:<{column}}", text)


def _wrap(start: str, text: str) -> list[str]:
    """Return the text after `start`, wrapped and indented."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )
