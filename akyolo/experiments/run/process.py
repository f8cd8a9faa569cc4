"""The process of a run. Standard library alone: Ray's workers get this file's content, and need not import torch."""

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

NOTHING_TO_RETRY = (0, 2)  # exit codes: done, and a mistake that would come again


def run_here(folder: str, row: str, seed: int, **options: Any) -> int:
    """One run in a process of its own, with these options of Popen; its exit code, negative for a signal."""
    command = [sys.executable, "-m", "akyolo_command", "akyolo.experiments.run.worker", "--", folder, row, str(seed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, **options) as child:
        try:
            return child.wait()
        finally:
            if child.stdin:
                child.stdin.close()  # interrupted: the child ends


def run_on_node(folder: str, row: str, seed: int, *, current: str, spec: str, log: str) -> int:
    """The same as a task of Ray, in a folder that this node may not see; the exit code, 0 or 2.

    Args:
        folder: of the table.
        row: its name there.
        seed: of the training.
        current: the folder to be in; the other paths may be relative to it.
        spec: a file that is there.
        log: a file for what the process says.

    Raises:
        FileNotFoundError: the spec is not.
        ChildProcessError: any other exit code: the same may go well another time.
    """
    if not Path(current, spec).exists():
        raise FileNotFoundError(f"{Path(current, spec)} is not there on node {platform.node()}")
    Path(current, log).parent.mkdir(exist_ok=True)
    with Path(current, log).open("ab") as file:
        code = run_here(folder, row, seed, cwd=current, stdout=file, stderr=subprocess.STDOUT)
    if code not in NOTHING_TO_RETRY:
        raise ChildProcessError(in_words(code))
    return code


def in_words(code: int) -> str:
    """What an exit code says went wrong; empty for 0."""
    if code == 0:
        return ""
    return f"exit code {code}" if code > 0 else f"signal {-code}"
