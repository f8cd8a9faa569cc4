"""A run in a process of its own.

`python -m akyolo.experiments.run.worker FOLDER ROW SEED` is what akyolo starts. The starter holds the other end of
stdin. When it ends, in whatever way, so does the run, which can then be resumed.

`python -m akyolo.experiments.run.worker FOLDER --index N` is for a scheduler, which itself ends what it started: run N
of the table, counted from 0, all rows with one seed, then with the next.
"""

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from akyolo.errors import AkyoloError, ConfigError
from akyolo.experiments.run.runs import run
from akyolo.experiments.spec.rows import Spec, TableRow, read_spec, runs_in_order
from akyolo.upstream.patches.autoinstall import never_install

SPEC = "spec.yaml"


def main() -> None:
    """Run the row that the command line names; exit with 2 at a mistake, 130 at Ctrl-C."""
    try:
        run_words(sys.argv[1:])
    except AkyoloError as error:
        print(f"akyolo: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def run_words(words: Sequence[str]) -> None:
    """Run the row that `words` name in the spec of their folder.

    Raises:
        AkyoloError: the spec has no such row, or the run has to stop.
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
    if options.index is None:
        row, seed = _named(read_spec(file), options.row, file), options.seed
    else:
        row, seed = _numbered(read_spec(file), options.index, file)
    run(options.folder, row, seed)


def _named(spec: Spec, name: str, file: Path) -> TableRow:
    rows = {row.row: row for row in spec.rows}
    if name not in rows:
        raise ConfigError(f"there is no row {name!r}", location=str(file))
    return rows[name]


def _numbered(spec: Spec, index: int, file: Path) -> tuple[TableRow, int]:
    runs = runs_in_order(spec)
    if not 0 <= index < len(runs):
        raise ConfigError(f"there is no run {index}: 0 to {len(runs) - 1} are there", location=str(file))
    return runs[index]


def _end_with_starter() -> None:
    os.read(0, 1)  # not by sys.stdin, whose lock a forked loader of images would inherit
    os._exit(1)


if __name__ == "__main__":
    main()
