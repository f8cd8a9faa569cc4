"""A run in a process of its own: `python -m akyolo.paper.child FOLDER ROW SEED`, which `series` starts.

The starter holds the other end of stdin. When it ends, in whatever way, so does the run, which can then be resumed.
"""

import os
import sys
import threading
from pathlib import Path

from akyolo.errors import AkyoloError, ConfigError
from akyolo.paper.rows import read_spec
from akyolo.paper.runs import run
from akyolo.upstream.optional import never_install

SPEC = "spec.yaml"


def main(folder: Path, name: str, seed: int) -> None:
    """Run the row of this name in the spec of `folder`.

    Raises:
        AkyoloError: the spec has no such row, or the run has to stop.
    """
    never_install()
    rows = {row.row: row for row in read_spec(folder / SPEC).rows}
    if name not in rows:
        raise ConfigError(f"there is no row {name!r}", where=str(folder / SPEC))
    run(folder, rows[name], seed)


def _end_with_starter() -> None:
    os.read(0, 1)  # not by sys.stdin, whose lock a forked loader of images would inherit
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_starter, daemon=True).start()
    try:
        main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    except AkyoloError as error:
        print(f"akyolo: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
