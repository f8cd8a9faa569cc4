"""The operators' pages in Markdown, made of their docstrings."""

import dataclasses
import html
import inspect
import re
from collections.abc import Iterator
from typing import Any

from figures import figure
from taps import panels

from akyolo.cli.ops import describe
from akyolo.registry import OperatorSpec, operator, operators

OVERVIEW = ("AKConv", "DSConv", "DeformConv", "DeformKernel")
LEGEND = (
    "Squares are pixels of the input; the framed one is the output position (for stride 1). Filled dots are the taps. "
    "Where there are lines, small dots are the initial taps, and the lines lead to where offsets moved them (an "
    "example, since a new layer starts without offsets). The positions are measured by running the operator."
)
SCOPE_LEGEND = (
    "Violet squares are weights of the scope, the larger kernel. Small dots are where the kernel is read at first, and "
    "the lines lead to where it is read after rotations (an example). The positions are measured by running it."
)


def described() -> dict[str, tuple[OperatorSpec, dict[str, Any]]]:
    """Return each operator once, with what its docstrings say, by the name of its page."""
    first: dict[type, OperatorSpec] = {}
    for spec in operators():
        if "second_name_of" not in describe(spec):
            first[spec.module] = spec
    return {_page_name(spec.name): (spec, describe(spec)) for spec in sorted(first.values(), key=lambda s: s.name)}


def index(facts_by_page: dict[str, tuple[OperatorSpec, dict[str, Any]]]) -> str:
    """Return the page that lists all operators."""
    rows = [
        f"| [{facts['name']}]({page}.md) | {_prose(facts['summary'])} |" for page, (_, facts) in facts_by_page.items()
    ]
    return "\n".join(
        [
            "# Operators",
            "",
            "All operators train, fuse with their BatchNorm, export to ONNX, and go into rows, blocks and swaps alike.",
            "The pages are made of the docstrings; `akyolo ops NAME` prints the same in a terminal.",
            "",
            "| operator | what it does |",
            "|---|---|",
            *rows,
            "",
        ]
    )


def overview() -> str:
    """Return one figure of several operators, with taps that offsets have moved."""
    shown = [
        dataclasses.replace(panel, caption=f"{name}: {panel.caption}")
        for name in OVERVIEW
        for panel in [next(panel for panel in panels(operator(name).module) if panel.moved)]
    ]
    return figure("operators", shown)


def page(spec: OperatorSpec, facts: dict[str, Any]) -> str:
    """Return the page of one operator."""
    return "\n".join(_lines(spec, facts))


def _lines(spec: OperatorSpec, facts: dict[str, Any]) -> Iterator[str]:
    yield from [f"# {facts['name']}", "", _prose(facts["summary"]), ""]
    if "other_names" in facts:
        yield from [f"Also registered as {', '.join(f'`{name}`' for name in facts['other_names'])}.", ""]
    drawn = panels(spec.module)
    yield from [figure(facts["name"], drawn), ""]
    if drawn:
        yield from [f"*{LEGEND if any(panel.scope is None for panel in drawn) else SCOPE_LEGEND}*", ""]
    yield from ["## Definition", "", "```text", facts["equation"].replace(",    ", ",\n"), "```", ""]
    yield from ["## In a model YAML", "", "```yaml", *(f"- {row}" for row in facts.get("rows", [])), "```", ""]
    yield from [f"The arguments in order: `{facts['grammar']}`. Those in braces are given by name.", ""]
    yield from ["| argument | default | meaning |", "|---|---|---|", *_arguments(spec, facts), ""]
    yield from ["## In Python", "", "```python", *_python(spec, facts), "```", ""]
    yield from _references(spec)
    yield from ["## Parameters", "", _prose(facts.get("parameters", "")), ""]
    if "example" in facts:
        given = ", ".join(f"{name}={value}" for name, value in facts["example"]["arguments"].items())
        yield from [f"`{given}` has {facts['example']['parameters']:,} parameters.", ""]
    yield from ["## Paper", "", _linked(_prose(facts.get("paper", ""))), ""]
    if "deviations" in facts:
        yield from ["## Differences from the released code", "", _sentence(_prose(facts["deviations"])), ""]


def _arguments(spec: OperatorSpec, facts: dict[str, Any]) -> Iterator[str]:
    defaults = spec.signature.parameters
    for name, meaning in facts.get("arguments", {}).items():
        default = defaults[name].default
        shown = "required" if default is inspect.Parameter.empty else f"`{default}`"
        yield f"| `{name}` | {shown} | {_prose(meaning)} |"


def _python(spec: OperatorSpec, facts: dict[str, Any]) -> list[str]:
    name = spec.module.__name__
    given = ", ".join(str(value) for value in facts["example"]["arguments"].values())
    channels = next(iter(facts["example"]["arguments"].values()))
    source = "akyolo" if spec.module.__module__.partition(".")[0] == "akyolo" else spec.module.__module__
    return [
        "import torch",
        f"from {source} import {name}",
        "",
        f"layer = {name}({given})",
        f"print(layer(torch.rand(2, {channels}, 40, 48)).shape)",
    ]


def _references(spec: OperatorSpec) -> Iterator[str]:
    if spec.module.__module__.partition(".")[0] == "akyolo":
        yield from [f"Reference: [`akyolo.{spec.module.__name__}`][akyolo.{spec.module.__name__}].", ""]


def _page_name(name: str) -> str:
    return re.sub(r"\W", "-", name).lower()


def _prose(text: str) -> str:
    """Return text whose formulas and names Markdown leaves alone."""
    text = html.escape(text, quote=False)
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        html.unescape(part) if part.startswith("`") else re.sub(r"([*_|\[\]])", r"\\\1", part) for part in parts
    ).replace("|", "\\|" if "|" in text else "|")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _linked(text: str) -> str:
    return re.sub(r"arXiv (\d{4}\.\d{5})", r"[arXiv \1](https://arxiv.org/abs/\1)", text)
