"""`akyolo compare`: train a model with different operators."""

import argparse
import re
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from akyolo.checks import COUNTING, check_number
from akyolo.cli.key_values import names_and_pairs
from akyolo.cli.launchers import configure_launcher, select_launcher
from akyolo.cli.stdout import stdout_to_stderr
from akyolo.cli.swap import SUFFIXES, read_yaml
from akyolo.cli.table_words import check_folder_name, check_no_option, exit_if_failed, print_json, print_results
from akyolo.errors import ConfigError
from akyolo.experiments.run_tables import TableRequest, check_table, run_tables
from akyolo.experiments.spec.select import as_yaml
from akyolo.experiments.spec.table_spec import TableRow, TableSpec
from akyolo.model_yaml import literal
from akyolo.swapping import SwapRule

SUMMARY = "train the same model with different operators, and put the results in one table"
TAKES_PAIRS = True
HELP = """\
Train BASE, a model YAML, as it is (Conv) and with other operators in place of its 3x3 convolutions (as `akyolo swap`
writes them), on the same data, with the same recipe, arguments and seeds:

  akyolo compare yolov8n.yaml --ops Conv,AKConv:5,AKConv:5:shape=d --where downsample --seeds 3 data=my.yaml epochs=50

An operator is NAME[:argument...][:key=value...]: arguments after c2, without the stride; values as YAML (`akyolo ops`).
key=value are training arguments (`akyolo train --help`). Without data=, the embedded data set with its recipe.

runs/compare/NAME gets table.md, table.json and plot.png, which are updated after each run, and a folder a run with its
weights and record.json. The same command resumes where it was stopped, skips runs that are done, and tries failed runs
again; with more seeds, or with operators added at the end, it runs those too.

--launcher ray spreads the runs over a Ray cluster, which restarts killed runs; --launcher slurm prints the command that
submits them (docs/cluster.md).
"""
HOME = Path("runs", "compare")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add BASE, --ops, --where, --seeds, --name, --json, --launcher, --address and key=value."""
    parser.description, parser.formatter_class = HELP, argparse.RawDescriptionHelpFormatter
    parser.usage = "akyolo compare BASE --ops A,B --where PLACE [--option ...] [key=value ...]"
    parser.add_argument("words", nargs="+", metavar="BASE, key=value", help="a detector's YAML; training arguments")
    parser.add_argument("--ops", required=True, metavar="A,B", help="the operators, see above")
    parser.add_argument("--where", required=True, metavar="PLACE", help="which convolutions, as for akyolo swap")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N-1 (default 3)")
    parser.add_argument("--name", help="folder in runs/compare (default: that of BASE)")
    parser.add_argument("--json", action="store_true", help="print JSON alone on stdout, the rest on stderr")
    configure_launcher(parser)


def run(options: argparse.Namespace) -> None:
    """Check, run and print a comparison.

    The command exits with 1 if a run failed.

    Raises:
        AkyoloError: the user wrote something wrong; nothing is written then.
    """
    names, settings = names_and_pairs(options.words)
    if len(names) != 1:
        raise ConfigError(f"{len(names)} models named", remedy="write akyolo compare BASE key=value ...")
    base = names[0]
    name = options.name if options.name is not None else Path(base).stem
    check_number(f"{options.seeds}", options.seeds, COUNTING, error=ConfigError, location="--seeds")
    check_folder_name(name)
    if Path(base).suffix not in SUFFIXES:
        raise ConfigError(f"{base} is not a model YAML", remedy="name a file that ends in .yaml or .yml")
    table = comparison(name, base, read_operators(options.ops, options.where.strip()), options.seeds, settings)
    check_no_option("compare", settings, options)
    with stdout_to_stderr() if options.json else nullcontext():
        request = TableRequest(HOME / name, table, frozenset(row.row for row in table.rows))
        checked = check_table(request, "compare")
        with select_launcher(options) as launch:
            results = print_results(run_tables([checked], launch))
    if options.json:
        print_json(results[0].content)
    exit_if_failed(results)


def read_operators(text: str, where: str) -> dict[str, SwapRule | None]:
    """Return the rules of `--ops` by row.

    The rule of BASE as it is is None.

    Raises:
        ConfigError: an operator has no name, a value is missing, or an operator is given twice.

    Example:
        >>> from akyolo.cli.compare import read_operators
        >>> list(read_operators("Conv, AKConv:5:shape=d", "downsample"))
        ['Conv', 'AKConv:5:shape=d']
    """
    rules: dict[str, SwapRule | None] = {}
    for written in _split(text, ","):
        op, *values = (part.strip() for part in _split(written, ":"))
        if not op or not all(values):
            raise ConfigError(
                f"{written.strip()!r} lacks a name or a value", location="--ops", remedy="write NAME:5:key=1"
            )
        args, keywords = _read_arguments(values, written)
        rule = SwapRule(op, args, where, keywords) if values or op != "Conv" else None
        if rule in rules.values():
            raise ConfigError(f"{written.strip()!r} is given twice", location="--ops")
        rules[":".join([op, *values])] = rule
    return rules


def _read_arguments(values: Iterable[str], written: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Read an operator's arguments and keywords."""
    args: list[Any] = []
    keywords: dict[str, Any] = {}
    for value in values:
        key, is_keyword, of_key = value.partition("=") if re.match(r"\w+=", value) else ("", "", value)
        if is_keyword and (not of_key or key in keywords):
            raise ConfigError(f"{written!r}: {key} needs one value", location="--ops")
        read = literal(read_yaml(of_key, "--ops", written))
        if is_keyword:
            keywords[key] = read
        else:
            args.append(read)
    return tuple(args), keywords


def _split(text: str, separator: str) -> list[str]:
    """Split at each separator outside brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{(") - (letter in "]})")
        if letter == separator and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def comparison(
    name: str, base: str, rules: Mapping[str, SwapRule | None], seeds: int, settings: Mapping[str, Any]
) -> TableSpec:
    """Return the table of a comparison.

    Args:
        name: of the table.
        base: a model YAML.
        rules: one a row, by the name of the row; None for `base` as it is.
        seeds: their number; seeds are counted from 0.
        settings: training arguments, `data` and `recipe` among them.
    """
    return TableSpec(
        table=name,
        data=settings.get("data"),
        recipe=settings.get("recipe"),
        settings={key: as_yaml(value) for key, value in settings.items() if key not in ("data", "recipe")},
        protocol="ultralytics",
        evaluation={},
        rows=tuple(TableRow(row, base, rule) for row, rule in rules.items()),
        seeds=tuple(range(seeds)),
    )
