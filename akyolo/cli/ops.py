"""`akyolo ops [NAME]`: what a model YAML may name."""

import argparse
import inspect

from akyolo.registry import OperatorSpec, operator, operators
from akyolo.rows import grammar

SUMMARY = "the operators a model YAML may name"


def configure(parser: argparse.ArgumentParser) -> None:
    """One optional name."""
    parser.add_argument("name", nargs="?", help="show this operator whole")


def run(options: argparse.Namespace) -> None:
    """Print one line an operator, or all that the docstring of one says.

    Raises:
        RowError: there is no such operator.
    """
    if options.name:
        spec = operator(options.name)
        print(f"{_line(spec)}\n\n{_paper(spec)}\n\n{inspect.getdoc(spec.module)}")
    else:
        for spec in operators():
            print(_line(spec))
            print(f"    {_summary(spec)}\n    {_paper(spec)}")


def _line(spec: OperatorSpec) -> str:
    return f"{spec.name}  [from, repeats, {spec.name}, {grammar(spec)}]"


def _summary(spec: OperatorSpec) -> str:
    return (inspect.getdoc(spec.module) or "").partition("\n")[0]


def _paper(spec: OperatorSpec) -> str:
    """The paragraph of the file's header that names the paper."""
    header = inspect.getdoc(inspect.getmodule(spec.module)) or ""
    paragraphs = [" ".join(text.split()) for text in header.split("\n\n")]
    return next((text for text in paragraphs if text.startswith("Paper:")), "Paper: none")
