"""Start the process of a run.

This file imports the standard library only: Ray's workers get its source and need not import torch.
"""

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

FINAL_CODES = (0, 2)  # exit codes that a retry would not change: success, and a mistake of the user


def run_here(folder: str, row: str, seed: int, **options: Any) -> int:
    """Execute one run in a new process.

    Args:
        folder: of the table.
        row: the name of the row.
        seed: of the training.
        **options: of `subprocess.Popen`.

    Returns:
        The exit code; for a signal, its number with a minus.
    """
    command = [sys.executable, "-m", "akyolo_command", "akyolo.experiments.run.worker", "--", folder, row, str(seed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, **options) as child:
        try:
            return child.wait()
        finally:
            if child.stdin:
                child.stdin.close()  # if this process is interrupted, the child ends too


def run_on_node(folder: str, row: str, seed: int, *, current: str, spec: str, log: str) -> int:
    """Execute one run as a task of Ray.

    Args:
        folder: of the table.
        row: the name of the row.
        seed: of the training.
        current: the current folder of the process; the other paths may be relative to it.
        spec: a file that must exist on this node.
        log: the file for the output of the process.

    Returns:
        The exit code, 0 or 2.

    Raises:
        FileNotFoundError: `spec` does not exist on this node.
        ChildProcessError: any other exit code; another attempt may succeed.
    """
    if not Path(current, spec).exists():
        raise FileNotFoundError(f"{Path(current, spec)} does not exist on node {platform.node()}")
    Path(current, log).parent.mkdir(exist_ok=True)
    with Path(current, log).open("ab") as file:
        code = run_here(folder, row, seed, cwd=current, stdout=file, stderr=subprocess.STDOUT)
    if code not in FINAL_CODES:
        raise ChildProcessError(describe_exit(code))
    return code


def describe_exit(code: int) -> str:
    """Return an exit code in words; "" for 0.

    Example:
        >>> from akyolo.experiments.run.process import describe_exit
        >>> describe_exit(2), describe_exit(-9)
        ('exit code 2', 'signal 9')
    """
    if code == 0:
        return ""
    return f"exit code {code}" if code > 0 else f"signal {-code}"
