"""What `compare` and `reproduce` share."""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from akyolo.errors import ConfigError
from akyolo.experiments.run_tables import TableResult

_NAME = re.compile(r"\w[\w.=-]{,99}")


def check_folder_name(name: str) -> str:
    """Return `name` if it can name a folder.

    Raises:
        ConfigError: it is too long, empty, or has other characters.

    Example:
        >>> from akyolo.cli.table_words import check_folder_name
        >>> check_folder_name("yolov8n")
        'yolov8n'
    """
    if not _NAME.fullmatch(name):
        remedy = "give one by --name: up to 100 letters, digits, . = _ -"
        raise ConfigError(f"{name!r} cannot name a folder", remedy=remedy)
    return name


def check_no_option(command: str, settings: Mapping[str, Any], options: argparse.Namespace) -> None:
    """Refuse options that are written like training arguments.

    Raises:
        ConfigError: it names the first.
    """
    for key in settings.keys() & vars(options):
        raise ConfigError(f"{key}: an option of {command}", remedy=f"write --{key}")


def print_results(results: Iterable[TableResult]) -> list[TableResult]:
    """Print each table as it ends.

    Returns:
        All results.
    """
    printed = []
    for result in results:
        table, *_ = result.files
        print(f"\n{table.read_text(encoding='utf-8')}\n{'  '.join(map(str, result.files))}", flush=True)
        printed.append(result)
    return printed


def print_json(content: Any) -> None:
    """Print `content` as JSON."""
    print(json.dumps(content, indent=2))


def exit_if_failed(results: Sequence[TableResult]) -> None:
    """Exit with 1 if runs failed, and name them."""
    if failed := [run for result in results for run in result.failed]:
        print(f"akyolo: {len(failed)} failed: {', '.join(failed)}; the same command tries again", file=sys.stderr)
        sys.exit(1)
