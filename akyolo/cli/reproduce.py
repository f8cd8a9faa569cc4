"""`akyolo reproduce`: train a paper's tables and compare the figures."""

import argparse
import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from akyolo.checks import COUNTING, check_number
from akyolo.cli.key_values import names_and_pairs
from akyolo.cli.launchers import configure_launcher, select_launcher
from akyolo.cli.stdout import stdout_to_stderr
from akyolo.cli.table_words import check_folder_name, check_no_option, exit_if_failed, print_json, print_results
from akyolo.errors import ConfigError
from akyolo.experiments.launch.forecast import (
    PlannedRun,
    describe_plan,
    describe_total,
    plan_runs,
    read_gpu_records,
)
from akyolo.experiments.run_tables import TableRequest, check_not_set, check_tables, run_tables
from akyolo.experiments.spec.select import override, select_rows, select_tables, with_distinct_rows
from akyolo.experiments.spec.spec_file import read_tables
from akyolo.experiments.spec.table_spec import PAPER, TableSpec
from akyolo.experiments.table.counts import StaticResult, count_rows

SUMMARY = "train and evaluate a paper's tables and compare the figures; or count the models (--static)"
TAKES_PAIRS = True
HELP = """\
Train and evaluate the rows of the tables of AKConv's paper (cfg/paper/akconv.yaml), or of another specification, and
put the results next to the printed figures:

  akyolo data prepare visdrone --root visdrone
  akyolo reproduce --table 3 data=visdrone/data.yaml --plan      # what would be run
  akyolo reproduce --table 3 data=visdrone/data.yaml             # all of it: days on a GPU
  akyolo reproduce --table 3 --rows baseline --rows N=5 --seeds 1 epochs=2 data=visdrone/data.yaml
  akyolo reproduce --spec cfg/paper/mini.yaml --table yolov8n    # what a CPU can do

key=value are training arguments for all rows; a table that is trained with other settings than the paper's says so. If
the specification only names a data set (voc0712), give data=FILE, the data.yaml that `akyolo data prepare` wrote.

runs/reproduce/SPEC/TABLE (--name for SPEC) gets table.md, table.json and plot.png, which are updated after each run,
and a folder a run with its weights and record.json. The same command resumes where it was stopped, skips runs that are
done, and tries failed runs again; with more seeds it runs those too.
"""
HOME = Path("runs", "reproduce")
RECORDS = Path("runs")
SEEDS = 3


def configure(parser: argparse.ArgumentParser) -> None:
    """Add --table, --rows, --spec, --seeds, --name, --plan, --static, --json and key=value."""
    parser.description, parser.formatter_class = HELP, argparse.RawDescriptionHelpFormatter
    parser.add_argument("words", nargs="*", metavar="key=value", help="training arguments of all rows")
    parser.add_argument(
        "--table", action="append", default=[], metavar="N", help="this table only; A,B for several; repeatable"
    )
    parser.add_argument(
        "--rows", action="append", default=[], metavar="ROW", help="this row only; A,B for several; repeatable"
    )
    parser.add_argument("--spec", metavar="FILE", help="tables as data (default: those of the paper)")
    parser.add_argument("--seeds", type=int, metavar="N", help="seeds 0 to N-1 (default: the spec's, else 3)")
    parser.add_argument("--name", help="folder in runs/reproduce (default: that of the spec)")
    configure_launcher(parser)
    parser.add_argument("--plan", action="store_true", help="print what would be run, and stop")
    parser.add_argument("--static", action="store_true", help="build each row and count it, without training")
    parser.add_argument("--json", action="store_true", help="print JSON alone on stdout, the rest on stderr")


def run(options: argparse.Namespace) -> None:
    """Check, run and print tables.

    The plan is printed first. The command exits with 1 if a run failed.

    Raises:
        AkyoloError: the user wrote something wrong; nothing is written then.
    """
    requests = _read_requests(options)
    if options.static:
        _print_counts(requests, options.json)
        return
    with stdout_to_stderr() if options.json else nullcontext():
        checked = check_tables(requests, "reproduce", needs_data=not options.plan)
        plan = _print_plan(requests)
        results = []
        if not options.plan:
            with select_launcher(options) as launch:
                results = print_results(run_tables(checked, launch))
    if options.json:
        print_json(_plan_as_json(plan) if options.plan else [result.content for result in results])
    exit_if_failed(results)


def _read_requests(options: argparse.Namespace) -> list[TableRequest]:
    """Return the tables that are selected.

    They are overridden by the arguments of the command.
    """
    names, settings = names_and_pairs(options.words)
    if names:
        raise ConfigError(f"{names[0]!r} is not key=value", remedy="tables are named by --table, rows by --rows")
    check_no_option("reproduce", settings, options)
    check_not_set("reproduce", settings)
    if options.static and (settings or options.plan or options.seeds is not None):
        raise ConfigError("--static trains nothing", remedy="leave out key=value, --plan and --seeds")
    file = Path(options.spec) if options.spec else PAPER
    tables = read_tables(file)
    if options.seeds is not None:
        check_number(f"{options.seeds}", options.seeds, COUNTING, error=ConfigError, location="--seeds")
    names = [name.strip() for names in options.table for name in names.split(",")]
    tables = tuple(select_tables(tables, names))
    for word in {row.row for table in tables for row in table.rows} & set(options.words):
        raise ConfigError(f"{word!r} is a row", remedy=f"write --rows {word!r}")
    selected = select_rows(tables, options.rows)
    home = HOME / check_folder_name(file.stem if options.name is None else options.name)
    requests = []
    for table in tables:
        rows = frozenset(row.row for row in with_distinct_rows(table).rows) & selected
        if rows:
            requests.append(_request(home, table, rows, options.seeds, settings))
    _check_one_data_set(requests)
    return requests


def _request(
    home: Path, table: TableSpec, rows: frozenset[str], seeds: int | None, settings: dict[str, Any]
) -> TableRequest:
    table = override(with_distinct_rows(table), settings)
    numbers = table.seeds or tuple(range(SEEDS)) if seeds is None else tuple(range(seeds))
    folder = home / check_folder_name(str(table.table))
    return TableRequest(folder, dataclasses.replace(table, seeds=numbers), rows)


def _check_one_data_set(requests: Iterable[TableRequest]) -> None:
    """Refuse `data=` for several data sets."""
    names = {str(request.table.stated["data"]) for request in requests if "data" in request.table.stated}
    if len(names) > 1:
        raise ConfigError(
            f"data= is one data set, and the tables are on {', '.join(sorted(names))}", remedy="choose by --table"
        )


def _print_plan(requests: Iterable[TableRequest]) -> list[PlannedRun]:
    planned = []
    for request in requests:
        of_table = plan_runs(request.folder, request.table, request.rows)
        print(*describe_plan(request.folder, request.table, of_table), sep="\n")
        planned += of_table
    print(describe_total(planned, read_gpu_records(RECORDS)), flush=True)
    return planned


def _plan_as_json(planned: Iterable[PlannedRun]) -> list[dict[str, Any]]:
    return [
        {
            "table": plan.run.table.table,
            "row": plan.run.row.row,
            "seed": plan.run.seed,
            "state": plan.state,
            "asked": plan.run.requested(),
        }
        for plan in planned
    ]


def _print_counts(requests: Iterable[TableRequest], as_json: bool) -> None:
    tables = [
        dataclasses.replace(table, rows=tuple(row for row in table.rows if row.row in request.rows))
        for request in requests
        for table in [request.table]
    ]
    if as_json:
        with stdout_to_stderr():
            counts = [dataclasses.asdict(result) for result in count_rows(tables)]
        print_json(counts)
    else:
        for line in _describe_counts(count_rows(tables)):
            print(line, flush=True)


def _describe_counts(results: Iterable[StaticResult]) -> Iterator[str]:
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
