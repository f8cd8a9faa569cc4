"""`akyolo compare BASE --ops A,B --where PLACE`: the same training with one operator after the other, in one table."""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from akyolo.checks import COUNTING, check_number
from akyolo.cli.key_values import names_and_pairs
from akyolo.cli.launchers import configure_launcher, launcher
from akyolo.cli.stdout import stdout_to_stderr
from akyolo.cli.swap import SUFFIXES, read_yaml
from akyolo.cli.trainings import check_no_option, check_own, check_trainings, failure, folder_name, run_all
from akyolo.errors import ConfigError
from akyolo.model_yaml import literal
from akyolo.swapping import SwapRule

SUMMARY = "train the same model with one operator after the other, and put them in one table"
TAKES_PAIRS = True
HELP = """\
Train BASE, a model YAML, as it is (Conv) and with other operators in its 3x3 convolutions (`akyolo swap` writes them),
on the same data, with the same recipe, arguments and seeds:

  akyolo compare yolov8n.yaml --ops Conv,AKConv:5,AKConv:5:shape=d --where downsample --seeds 3 data=my.yaml epochs=50

An operator is NAME[:argument...][:key=value...]: arguments after c2, without the stride; values as YAML (`akyolo ops`).
key=value are training arguments (`akyolo train --help`). Without data=, the embedded set with its recipe.

runs/compare/NAME gets table.md, table.json and plot.png, after each run anew, and a folder a run with its weights and
record.json. The same command goes on where it was stopped, skips what is done, and tries again what failed; with more
seeds, or with operators added at the end, it runs those too.

--launcher ray spreads the runs over a Ray cluster, which starts killed ones again; --launcher slurm prints the command
that submits them (docs/cluster.md).
"""
HOME = Path("runs", "compare")


def configure(parser: argparse.ArgumentParser) -> None:
    """BASE, --ops, --where, --seeds, --name, --json, --launcher, --address, key=value."""
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
    """Check everything, then run what has no record yet; exits with 1 where a run failed.

    Raises:
        AkyoloError: whatever is wrong with what the user wrote; nothing is written then.
    """
    names, settings = names_and_pairs(options.words)
    if len(names) != 1:
        raise ConfigError(f"{len(names)} models named", remedy="write akyolo compare BASE key=value ...")
    base = names[0]
    name = options.name if options.name is not None else Path(base).stem
    check_number(f"{options.seeds}", options.seeds, COUNTING, error=ConfigError, location="--seeds")
    folder_name(name)
    if Path(base).suffix not in SUFFIXES:
        raise ConfigError(f"{base} is no model YAML", remedy="name a file that ends in .yaml or .yml")
    rules = operators(options.ops, options.where.strip())
    spec = spec_of(name, base, rules, options.seeds, settings)
    check_no_option("compare", settings, options)
    check_own("compare", settings)
    check_trainings([(base, rule) for rule in rules.values()], settings)
    with stdout_to_stderr() if options.json else nullcontext(), launcher(options) as launch:
        table, failed = run_all(HOME / name, spec, launch)
    if options.json:
        print(json.dumps(table, indent=2))
    if failed:
        print(failure(failed), file=sys.stderr)
        sys.exit(1)


def operators(text: str, where: str) -> dict[str, SwapRule | None]:
    """What `--ops` names, by what it is called in the table; None for BASE as it is.

    Raises:
        ConfigError: an operator without a name, a value that is none, or one operator twice.
    """
    rules: dict[str, SwapRule | None] = {}
    for written in _split(text, ","):
        op, *values = (part.strip() for part in _split(written, ":"))
        if not op or not all(values):
            raise ConfigError(
                f"{written.strip()!r} lacks a name or a value", location="--ops", remedy="write NAME:5:key=1"
            )
        args, keywords = [], {}
        for value in values:
            key, is_keyword, of_key = value.partition("=") if re.match(r"\w+=", value) else ("", "", value)
            if is_keyword and (not of_key or key in keywords):
                raise ConfigError(f"{written!r}: {key} needs one value", location="--ops")
            read = literal(read_yaml(of_key, "--ops", written))
            if is_keyword:
                keywords[key] = read
            else:
                args.append(read)
        rule = SwapRule(op, tuple(args), where, keywords) if values or op != "Conv" else None
        if rule in rules.values():
            raise ConfigError(f"{written.strip()!r} is there twice", location="--ops")
        rules[":".join([op, *values])] = rule
    return rules


def _split(text: str, separator: str) -> list[str]:
    """At every separator that is in no brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{(") - (letter in "]})")
        if letter == separator and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def spec_of(
    name: str, base: str, rules: Mapping[str, SwapRule | None], seeds: int, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The comparison in the format of `akyolo.experiments.spec.rows`."""
    from akyolo.experiments.spec.rows import written

    own = {key: value for key, value in settings.items() if key not in ("data", "recipe")}
    table = {
        "table": name,
        "data": settings.get("data"),
        "recipe": settings.get("recipe"),
        "settings": own,
        "protocol": "ultralytics",
        "evaluation": {},
        "rows": [
            {"row": row, "base": base, **({"swap": written(rule)} if rule else {})} for row, rule in rules.items()
        ],
    }
    return {"seeds": list(range(seeds)), "tables": [table]}
