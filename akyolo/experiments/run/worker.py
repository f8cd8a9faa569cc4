"""Execute one run in this process.

`python -m akyolo.experiments.run.worker FOLDER ROW SEED` is what akyolo starts. The starter holds the other end of
stdin. When the starter ends, for whatever reason, the run ends too; it can be resumed.

`python -m akyolo.experiments.run.worker FOLDER --index N` is for a scheduler, which ends by itself what it started. It
executes run N of the table, counted from 0: all rows with the first seed, then with the next.
"""

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from akyolo.errors import AkyoloError, ConfigError
from akyolo.experiments.run.runs import execute
from akyolo.experiments.spec.spec_file import read_table
from akyolo.experiments.spec.table_spec import TableRun, TableSpec
from akyolo.upstream.patches.autoinstall import never_install

SPEC = "spec.yaml"


def main() -> None:
    """Execute the run that the command line names.

    The exit code is 2 for a mistake of the user, and 130 for Ctrl-C.
    """
    try:
        execute_words(sys.argv[1:])
    except AkyoloError as error:
        print(f"akyolo: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def execute_words(words: Sequence[str]) -> None:
    """Execute the run that `words` name.

    It is a run of the table in their folder's spec.yaml.

    Raises:
        AkyoloError: the table has no such run, or the run has to stop.
    """
    parser = argparse.ArgumentParser(prog="python -m akyolo.experiments.run.worker")
    parser.add_argument("folder", type=Path)
    parser.add_argument("row", nargs="?")
    parser.add_argument("seed", nargs="?", type=int)
    parser.add_argument("--index", type=int)
    options = parser.parse_args(words)
    if (options.index is None) == (options.seed is None):
        parser.error("either ROW and SEED or --index")
    if options.index is None:
        threading.Thread(target=_end_with_starter, daemon=True).start()
    never_install()
    file = options.folder / SPEC
    table = read_table(file)
    if options.index is None:
        run = _named_run(table, options.row, options.seed, file)
    else:
        run = _numbered_run(table, options.index, file)
    execute(options.folder, run)


def _named_run(table: TableSpec, name: str, seed: int, file: Path) -> TableRun:
    rows = {row.row: row for row in table.rows}
    if name not in rows:
        raise ConfigError(f"there is no row {name!r}", location=str(file))
    return TableRun(table, rows[name], seed)


def _numbered_run(table: TableSpec, index: int, file: Path) -> TableRun:
    runs = table.runs()
    if not 0 <= index < len(runs):
        raise ConfigError(f"there is no run {index}: 0 to {len(runs) - 1} are there", location=str(file))
    return runs[index]


def _end_with_starter() -> None:
    """End the process when its starter ends."""
    os.read(0, 1)  # not sys.stdin, whose lock a forked data loader would inherit
    os._exit(1)


if __name__ == "__main__":
    main()
