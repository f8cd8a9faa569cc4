"""Runs of one or more tables, started one after the other, each in a process of its own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from akyolo.experiments.run.process import in_words, run_here
from akyolo.experiments.run.runs import RECORD, run_folder
from akyolo.experiments.spec.rows import Spec, runs_in_order


@dataclass(frozen=True)
class Run:
    """One run, by what its process is told.

    Args:
        folder: of the table, with its spec.
        row: its name there.
        seed: of the training.
        devices: how many it names.
    """

    folder: Path
    row: str
    seed: int
    devices: int = 1

    @property
    def home(self) -> Path:
        """Where it lies."""
        return run_folder(self.folder, self.row, self.seed)


# starts runs in some way; each run as it ends, with what went wrong, empty for nothing
Launch = Callable[[Sequence[Run]], Iterator[tuple[Run, str]]]


def runs_of(folder: Path, spec: Spec) -> list[Run]:
    """All runs of a table, in their order."""
    return [Run(folder, row.row, seed, _devices(row.settings.get("device"))) for row, seed in runs_in_order(spec)]


def _devices(named: Any) -> int:
    """Of the training argument, as the command line reads it."""
    return len(named if isinstance(named, list) else str(named).split(","))


def launch_all(runs: Sequence[Run], launch: Launch) -> Iterator[tuple[Run, str]]:
    """The runs that have no record, launched; each as it ends, with what went wrong, empty for nothing."""
    waiting = []
    for run in runs:
        if (run.home / RECORD).exists():
            print(f"akyolo: {run.home} is done")
        else:
            waiting.append(run)
    if waiting:
        print(f"akyolo: {len(waiting)} of {len(runs)} runs to do", flush=True)
        yield from launch(waiting)


def one_by_one(runs: Sequence[Run]) -> Iterator[tuple[Run, str]]:
    """Here, in order; each shows what it does."""
    for number, run in enumerate(runs, start=1):
        print(f"\nakyolo: run {number} of {len(runs)}, {run.home}", flush=True)
        yield run, in_words(run_here(str(run.folder), run.row, run.seed))
