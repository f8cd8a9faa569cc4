"""`akyolo reproduce`: the tables of AKConv's paper, or of another spec, beside ours."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from akyolo.checks import COUNTING, check_number
from akyolo.cli.key_values import names_and_pairs
from akyolo.cli.launchers import configure_launcher, launcher
from akyolo.cli.stdout import stdout_to_stderr
from akyolo.cli.trainings import check_no_option, check_own, check_trainings, failure, folder_name, run_all
from akyolo.errors import AkyoloError, ConfigError, DatasetError

if TYPE_CHECKING:
    from akyolo.experiments.launch.forecast import PlannedRun
    from akyolo.experiments.spec.rows import Spec
    from akyolo.experiments.table.counts import StaticResult

SUMMARY = "train, evaluate and print the paper's tables beside ours; or count them (--static)"
TAKES_PAIRS = True
HELP = """\
Train and evaluate the rows of the tables of AKConv's paper (cfg/paper/akconv.yaml), or of another spec, and put what
comes out beside what is printed:

  akyolo data prepare visdrone --root visdrone
  akyolo reproduce --table 3 data=visdrone/data.yaml --plan      # what would be run
  akyolo reproduce --table 3 data=visdrone/data.yaml             # all of it: days on a GPU
  akyolo reproduce --table 3 --rows baseline --rows N=5 --seeds 1 epochs=2 data=visdrone/data.yaml
  akyolo reproduce --spec cfg/paper/mini.yaml --table yolov8n    # what a CPU can do

key=value are training arguments for all rows; a table with other settings than the paper's says so. A data set that the
spec only names (voc0712) is told by data=FILE, the data.yaml that `akyolo data prepare` made.

runs/reproduce/SPEC/TABLE (--name for SPEC) gets table.md, table.json and plot.png, after each run anew, and a folder
a run with its weights and record.json. The same command goes on where it was stopped, skips what is done, and tries
again what failed; with more seeds it runs those too.
"""
HOME = Path("runs", "reproduce")
RECORDS = Path("runs")
SEEDS = 3
OF_DATA = {"data", "split", "fraction"}  # a record says them of the training and its evaluation alike


def configure(parser: argparse.ArgumentParser) -> None:
    """--table, --rows, --spec, --seeds, --name, --plan, --static, --json, key=value."""
    parser.description, parser.formatter_class = HELP, argparse.RawDescriptionHelpFormatter
    parser.add_argument("words", nargs="*", metavar="key=value", help="training arguments of all rows")
    parser.add_argument(
        "--table", action="append", default=[], metavar="N", help="this table alone; also A,B, or again"
    )
    parser.add_argument("--rows", action="append", default=[], metavar="ROW", help="this row alone; also A,B, or again")
    parser.add_argument("--spec", metavar="FILE", help="tables as data (default: those of the paper)")
    parser.add_argument("--seeds", type=int, metavar="N", help="seeds 0 to N-1 (default: the spec's, else 3)")
    parser.add_argument("--name", help="folder in runs/reproduce (default: that of the spec)")
    configure_launcher(parser)
    parser.add_argument("--plan", action="store_true", help="print what would be run, and stop")
    parser.add_argument("--static", action="store_true", help="build each row and count it, without training")
    parser.add_argument("--json", action="store_true", help="print JSON alone on stdout, the rest on stderr")


class Chosen(NamedTuple):
    """A table to be run: where, its spec as YAML and as rows, and the rows that are meant."""

    folder: Path
    content: dict[str, Any]
    spec: "Spec"
    rows: frozenset[str]


def run(options: argparse.Namespace) -> None:
    """Check everything, print the plan, then run what has no record yet; exits with 1 where a run failed.

    Raises:
        AkyoloError: whatever is wrong with what the user wrote; nothing is written then.
    """
    names, settings = names_and_pairs(options.words)
    if names:
        raise ConfigError(f"{names[0]!r} is no key=value", remedy="tables are named by --table, rows by --rows")
    check_no_option("reproduce", settings, options)
    check_own("reproduce", settings)
    if options.static and (settings or options.plan or options.seeds is not None):
        raise ConfigError("--static trains nothing", remedy="leave out key=value, --plan and --seeds")
    tables = _chosen(options, settings)
    if options.static:
        _static(tables, options.json)
        return
    with stdout_to_stderr() if options.json else nullcontext():
        for table in tables:
            _check(table, options.plan)
        plan = _print_plan(tables)
        done = [] if options.plan else _run(tables, options)
    if options.json:
        print(json.dumps(_plan_json(plan) if options.plan else [table for table, _ in done], indent=2))
    if failed := [run for _, of_table in done for run in of_table]:
        print(failure(failed), file=sys.stderr)
        sys.exit(1)


def _chosen(options: argparse.Namespace, settings: dict[str, Any]) -> list[Chosen]:
    from akyolo.experiments.spec.rows import PAPER, spec_of_file
    from akyolo.experiments.spec.select import of_its_own, rows_named, tables_named
    from akyolo.experiments.spec.spec_file import read_spec_file

    file = Path(options.spec) if options.spec else PAPER
    content = read_spec_file(file)
    if options.seeds is not None:
        check_number(f"{options.seeds}", options.seeds, COUNTING, error=ConfigError, location="--seeds")
    seeds = content.get("seeds") or range(SEEDS) if options.seeds is None else range(options.seeds)
    tables = tables_named(content, [name.strip() for names in options.table for name in names.split(",")])
    for word in {row["row"] for table in tables for row in table["rows"]} & set(options.words):
        raise ConfigError(f"{word!r} is a row", remedy=f"write --rows {word!r}")
    meant = rows_named(tables, options.rows)
    home = HOME / folder_name(file.stem if options.name is None else options.name)
    found = []
    for table in tables:
        its_own = of_its_own(content, table, list(seeds), settings)
        spec = spec_of_file(its_own)
        if rows := frozenset(row.row for row in spec.rows) & frozenset(meant):
            folder = home / folder_name(str(table["table"]))
            found.append(Chosen(folder, its_own, spec, rows))
    data = {str(one.spec.rows[0].stated["data"]) for one in found if "data" in one.spec.rows[0].stated}
    if len(data) > 1:
        raise ConfigError(
            f"data= is one data set, and the tables are on {', '.join(sorted(data))}", remedy="choose by --table"
        )
    return found


def _check(table: Chosen, plan: bool) -> None:
    """What would stop a run late; a plan needs no data set."""
    from akyolo.experiments.run.store import check_folder
    from akyolo.upstream.arguments.check import check_arguments

    row = table.spec.rows[0]
    settings = {
        **row.settings,
        **{key: value for key in ("data", "recipe") if (value := getattr(row, key)) is not None},
    }
    try:
        check_own("reproduce", {**settings, **row.evaluation})
        if of_data := OF_DATA & row.evaluation.keys():
            what = f"{', '.join(sorted(of_data))} decides which images, not how"
            raise ConfigError(what, location="evaluation", remedy="move it to settings")
        check_arguments("val", {**row.evaluation, "protocol": row.protocol})
        if row.prepare and row.data == row.stated.get("data", row.data):
            _refuse_missing_data(row.data, row.prepare, plan)
            settings.pop("data")
        classes = check_trainings([(row.base, row.swap) for row in table.spec.rows], settings)
        if None not in (classes, row.classes) and classes != row.classes:
            meant = row.stated.get("data", row.data)
            raise DatasetError(f"{row.data} has {classes} classes, {meant} has {row.classes}")
    except AkyoloError as error:
        location = f"table {row.table}" + (f", {error.location}" if error.location else "")
        raise type(error)(error.what, location=location, remedy=error.remedy) from None
    check_folder(table.folder, table.content)


def _refuse_missing_data(name: str | None, prepare: str, plan: bool) -> None:
    if not plan:
        remedy = f"`akyolo data prepare {prepare} --root DIR` makes it; then data=DIR/data.yaml"
        raise ConfigError(f"where {name} lies is not said", remedy=remedy)


def _run(tables: Sequence[Chosen], options: argparse.Namespace) -> list[tuple[dict[str, Any], list[str]]]:
    with launcher(options) as launch:
        return [run_all(table.folder, table.content, launch, table.rows) for table in tables]


def _print_plan(tables: Sequence[Chosen]) -> "list[PlannedRun]":
    from akyolo.experiments.launch.forecast import gpu_records, lines, planned, total

    runs = []
    for table in tables:
        of_table = planned(table.folder, table.spec, table.rows)
        print(*lines(table.folder, table.spec, of_table), sep="\n")
        runs += of_table
    print(total(runs, gpu_records(RECORDS)), flush=True)
    return runs


def _plan_json(runs: "Iterable[PlannedRun]") -> list[dict[str, Any]]:
    return [
        {"table": run.row.table, "row": run.row.row, "seed": run.seed, "state": run.state, "asked": run.row.asked()}
        for run in runs
    ]


def _static(tables: Sequence[Chosen], as_json: bool) -> None:
    with stdout_to_stderr():
        from akyolo.experiments.table.counts import static_results

        results = static_results([row for table in tables for row in table.spec.rows if row.row in table.rows])
        found = [dataclasses.asdict(result) for result in results] if as_json else []
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        for line in _lines(results):
            print(line, flush=True)


def _lines(results: "Iterable[StaticResult]") -> Iterator[str]:
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
