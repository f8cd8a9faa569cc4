"""`akyolo swap`: write an operator into a YAML."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

import yaml

from akyolo.cli.outputs import new_file, writing
from akyolo.cli.stdout import stdout_to_stderr
from akyolo.errors import ConfigError
from akyolo.model_yaml import literal, model_yaml_text, row_text, scale_in
from akyolo.swapping import ChangedRow, SwapRule, swap
from akyolo.upstream.model_yaml import read_model_yaml

SUMMARY = "write an operator into a model YAML in place of its convolutions"

HELP = """\
Read BASE, a model YAML of Ultralytics or your own, and replace convolutions by an operator (`akyolo ops`):

  akyolo swap yolov8n.yaml --op AKConv --args 5 --where downsample -o yolov8n-mine.yaml
  akyolo swap yolov8n-mine.yaml --op Conv --args 3 --where downsample        swaps back

Places: downsample (stride 2, but not row 0), bottleneck (the second convolution in the bottlenecks of C3, C2f, C3k2),
elan_last (the last 3x3 of each YOLOv7 ELAN in the backbone), all3x3 (every 3x3 and every such block), or row numbers,
as 5,12. In models of DWBottleneck and InvertedResidual, without --args: depthwise (their 3x3), pointwise (their 1x1,
and every other 1x1 of stride 1).
"""
SUFFIXES = (".yaml", ".yml")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add BASE, --op, --args, --kw, --where and --out."""
    parser.description, parser.formatter_class = HELP, argparse.RawDescriptionHelpFormatter
    parser.add_argument("base", metavar="BASE", help="a model YAML")
    parser.add_argument("--op", required=True, help="the operator to write, or Conv to swap back")
    parser.add_argument("--args", default="", metavar="A,B", help="its arguments after c2, without the stride")
    parser.add_argument("--kw", action="append", default=[], metavar="KEY=VALUE", help="one more by name; repeatable")
    parser.add_argument("--where", required=True, metavar="PLACE", help="which convolutions, see above")
    parser.add_argument(
        "-o", "--out", metavar="FILE", help="the YAML to write (default: to stdout, the rest to stderr)"
    )


def run(options: argparse.Namespace) -> None:
    """Print the changed rows, write the YAML.

    Raises:
        AkyoloError: a base, rule or file that cannot be used. Nothing is written then.
    """
    rule = SwapRule(options.op, _values(options.args), options.where.strip(), _keywords(options.kw))
    out = new_file(options.out, SUFFIXES) if options.out else None
    if Path(options.base).suffix not in SUFFIXES:
        raise ConfigError(f"{options.base} is not a model YAML", remedy="name a file that ends in .yaml or .yml")
    with stdout_to_stderr():
        base = read_model_yaml(options.base)
    swapped, changes = swap(base, rule)
    text = model_yaml_text(swapped)
    if out is None:
        sys.stdout.write(text)
        _report(changes, "-o FILE writes it into a file for akyolo train FILE data=mydata.yaml", sys.stderr)
        return
    remark = _scale_remark(out, base.get("scales"))
    with writing(out) as file:
        file.write_bytes(text.encode())
    _report(changes, f"akyolo train {out} data=mydata.yaml    (akyolo info {out} shows its layers)", sys.stdout)
    if remark:
        print(f"akyolo: {remark}", file=sys.stderr)


def _values(text: str) -> tuple[Any, ...]:
    """Return the values of `5` or `3,1`."""
    return tuple(literal(value) for value in read_yaml(f"[{text}]", "--args", text))


def _keywords(pairs: Iterable[str]) -> dict[str, Any]:
    """Return the values of KEY=VALUE, by key."""
    keywords: dict[str, Any] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if not key or not value:
            raise ConfigError(f"--kw {pair!r} needs a key and a value", remedy="for example --kw padding_mode=zeros")
        if key in keywords:
            raise ConfigError(f"--kw gives {key!r} twice")
        keywords[key] = literal(read_yaml(value, "--kw", pair))
    return keywords


def read_yaml(yaml_text: str, option: str, written: str) -> Any:
    """Return the YAML value of an option.

    Args:
        yaml_text: the value.
        option: its name, for the message.
        written: what the user wrote, for the message.

    Raises:
        ConfigError: it is not YAML.
    """
    try:
        return yaml.safe_load(yaml_text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # an impossible date is a ValueError
        problem = getattr(error, "problem", None) or error
        raise ConfigError(f"{option} {written!r} is not YAML: {problem}") from None


def _scale_remark(out: Path, scales: Any) -> str:
    """Return a remark on a missing scale.

    It is "" if the file name says one, or the model has none.

    Raises:
        ConfigError: the name asks for a scale that the model does not have.
    """
    if not isinstance(scales, dict) or not scales:
        return ""
    letter, letters = scale_in(out.name), ", ".join(map(str, scales))
    if letter and letter not in scales:
        raise ConfigError(f"-o {out} names the scale {letter!r}", remedy=f"the scales of this model are {letters}")
    if letter:
        return ""
    first = next(iter(scales))
    return f"{out.name} names no scale of {letters}, so {first} is used; a name like yolov8s-mine.yaml selects one"


def _report(changes: Iterable[ChangedRow], following: str, stream: TextIO) -> None:
    """Print each changed row, and what to do next."""
    for number, before, after in changes:
        print(f"- {number} {row_text(before)}\n+ {number} {row_text(after)}", file=stream)
    print(f"next: {following}", file=stream)
