"""Submit runs as SLURM job arrays.

The index of a task is the position of its run in the table.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

from akyolo.experiments.launch.local import Run

SUBMIT = "submit the runs; when they are over, give the same command again for their table:"
SCRIPT = "scripts/slurm-array"


def print_job_arrays(runs: Sequence[Run]) -> Iterator[tuple[Run, str]]:
    """Print the commands that submit runs; yield nothing."""
    for folder, of_table in groupby(runs, lambda run: run.folder):
        array = ",".join(str(run.index) for run in of_table)
        print(f"akyolo: {SUBMIT}\n  sbatch --array={array} {SCRIPT} {folder}")
    yield from ()
