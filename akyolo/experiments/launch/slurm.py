"""Runs as SLURM's job arrays: the index of a task is the place of its run in the table."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from akyolo.experiments.launch.local import Run, runs_of
from akyolo.experiments.run.worker import SPEC
from akyolo.experiments.spec.rows import read_spec

SUBMIT = "submit the runs, and give the same command again for their table:"
SCRIPT = "scripts/slurm-array"


def job_arrays(runs: Sequence[Run]) -> Iterator[tuple[Run, str]]:
    """Print what submits the runs of each table; none of them ends here."""
    for folder, waiting in groupby(runs, lambda run: run.folder):
        places = {run: place for place, run in enumerate(runs_of(folder, read_spec(folder / SPEC)))}
        array = ",".join(str(places[run]) for run in waiting)
        print(f"akyolo: {SUBMIT}\n  sbatch --array={array} {SCRIPT} {folder}")
    yield from ()
