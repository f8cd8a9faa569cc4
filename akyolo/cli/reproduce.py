"""`akyolo reproduce`: the tables of AKConv's paper, beside ours."""

import argparse
import dataclasses
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from akyolo.cli.streams import stdout_to_stderr
from akyolo.errors import ConfigError

if TYPE_CHECKING:
    from akyolo.paper.static import StaticResult

SUMMARY = "the paper's tables beside ours: parameters and GFLOPs"
TABLES = range(1, 8)


def configure(parser: argparse.ArgumentParser) -> None:
    """--static, --table, --json."""
    parser.add_argument("--static", action="store_true", help="build each row and count it, without training")
    parser.add_argument("--table", type=int, metavar="N", help="this table alone, 1 to 7")
    parser.add_argument("--json", action="store_true", help="print JSON alone on stdout")


def run(options: argparse.Namespace) -> None:
    """Print the rows as they are counted, or all as JSON.

    Raises:
        ConfigError: nothing to do, or no such table.
    """
    if not options.static:
        raise ConfigError("nothing to reproduce is named", remedy="write akyolo reproduce --static")
    if options.table is not None and options.table not in TABLES:
        raise ConfigError(f"there is no table {options.table}", where="--table", remedy="the paper has tables 1 to 7")
    with stdout_to_stderr():
        from akyolo.paper.rows import paper_rows
        from akyolo.paper.static import static_results

        results = static_results([row for row in paper_rows() if options.table in (None, row.table)])
        if options.json:
            found = [dataclasses.asdict(result) for result in results]
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        for line in _lines(results):
            print(line, flush=True)


def _lines(results: "Iterable[StaticResult]") -> Iterable[str]:
    yield f"{'':<30}{'parameters (M)':^30}{'GFLOPs at 640 px':^30}"
    yield f"{'table, row':<30}{'paper':>8}{'ours':>12}{'match':>8}  {'paper':>8}{'ours':>12}{'match':>8}  note"
    matches: list[tuple[bool | None, bool | None]] = []
    for result in results:
        params = result.params and result.params / 1e6
        cells = (
            f"{_number(result.paper_params_m, 2):>8}{_number(params, 6):>12}{_word(result.match_params):>8}  "
            f"{_number(result.paper_gflops, 1):>8}{_number(result.gflops, 4):>12}{_word(result.match_gflops):>8}"
        )
        yield f"{f'{result.table}  {result.row}':<30}{cells}  {result.note}".rstrip()
        matches.append((result.match_params, result.match_gflops))
    for name, column in zip(("parameters", "GFLOPs"), zip(*matches, strict=True), strict=True):
        compared = [match for match in column if match is not None]
        yield f"{name}: {sum(compared)} of {len(compared)} compared rows match"


def _number(value: Any, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


def _word(match: bool | None) -> str:
    return {None: "-", True: "yes", False: "NO"}[match]
