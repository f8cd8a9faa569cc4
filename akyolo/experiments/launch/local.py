"""Execute runs in order on this machine."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from akyolo.experiments.run.process import describe_exit, run_here
from akyolo.experiments.run.runs import RECORD, run_folder
from akyolo.experiments.spec.table_spec import TableSpec


@dataclass(frozen=True)
class Run:
    """One run, as its process is told.

    Args:
        folder: of the table, with its spec.yaml.
        row: the name of the row.
        seed: of the training.
        devices: how many devices the training names.
        index: the position of the run in the table.
    """

    folder: Path
    row: str
    seed: int
    devices: int = 1
    index: int = 0

    @property
    def home(self) -> Path:
        """Return the folder of the run."""
        return run_folder(self.folder, self.row, self.seed)


# Executes runs and yields each as it ends, with an error; the error of a run that succeeded is empty.
Launch = Callable[[Sequence[Run]], Iterator[tuple[Run, str]]]


def list_runs(folder: Path, table: TableSpec) -> list[Run]:
    """Return all runs of a table in order."""
    devices = _count_devices(table.settings.get("device"))
    return [Run(folder, run.row.row, run.seed, devices, index) for index, run in enumerate(table.runs())]


def _count_devices(device: Any) -> int:
    """Count devices in a number, list or text."""
    return len(device if isinstance(device, list) else str(device).split(","))


def launch_missing(runs: Sequence[Run], launch: Launch) -> Iterator[tuple[Run, str]]:
    """Execute the runs that have no record.

    Yields:
        Each run as it ends, with its error; "" on success.
    """
    missing = []
    for run in runs:
        if (run.home / RECORD).exists():
            print(f"akyolo: {run.home} is done")
        else:
            missing.append(run)
    if missing:
        print(f"akyolo: {len(missing)} of {len(runs)} runs to do", flush=True)
        yield from launch(missing)


def run_in_order(runs: Sequence[Run]) -> Iterator[tuple[Run, str]]:
    """Execute runs one after the other.

    Each run shows its own output.

    Yields:
        Each run as it ends, with its error; "" on success.
    """
    for number, run in enumerate(runs, start=1):
        print(f"\nakyolo: run {number} of {len(runs)}, {run.home}", flush=True)
        yield run, describe_exit(run_here(str(run.folder), run.row, run.seed))
