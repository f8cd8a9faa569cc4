"""Runs spread over a Ray cluster: a task each, with a GPU where the cluster has some, else with a CPU.

A task does nothing but start the run's own process, which ends when the task's worker ends, in whatever way. Ray starts
it again then, on any node, and it resumes from its checkpoint. Nodes must share the file system: a task goes to the
current folder of the command, and to the folder of the table from there.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from akyolo.errors import AkyoloError, ConfigError, first_line
from akyolo.paper.child import SPEC
from akyolo.paper.launch import Launch, Run, in_words, run_here
from akyolo.upstream.optional import check_packages

RETRIES = 3  # of a task
LONGEST_WAIT = 15  # seconds for an answer of the cluster; Ray by itself waits for two minutes
OBJECT_STORE = 80 * 2**20  # bytes; about the least that Ray takes, since tasks return no more than a number
LOG = "log.txt"  # in the folder of a run: what it would show on a terminal, of all its starts
NOTHING_TO_RETRY = (0, 2)  # exit codes: done, and a mistake that would come again


class EndedError(Exception):
    """The process of a run ended before the run was over, by a signal or an error that may not come again."""


@contextmanager
def on_ray(address: str | None) -> Iterator[Launch]:
    """Connect to the cluster at `address` or in RAY_ADDRESS, or start one on this machine, which ends with this.

    Raises:
        ConfigError: Ray is not installed, or no cluster answers.
    """
    check_packages("ray")
    import ray

    address = address or os.environ.get("RAY_ADDRESS")
    if address:
        _check_answer(address)
        ray.init(address, log_to_driver=False)
    else:
        ray.init("local", log_to_driver=False, include_dashboard=False, object_store_memory=OBJECT_STORE)
    try:
        yield _launch
    finally:
        ray.shutdown()  # ends workers, and by that what they run


def _check_answer(address: str) -> None:
    """In a process of its own, since a connection that Ray waits for cannot be interrupted."""
    connect = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level='ERROR')"
    command = [sys.executable, "-c", connect, address]
    try:
        subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=LONGEST_WAIT
        )
    except subprocess.TimeoutExpired:
        why = f"no Ray cluster answers there within {LONGEST_WAIT} s"
    except subprocess.CalledProcessError as error:
        why = f"no Ray cluster can be used there: {error.stderr.strip().splitlines()[-1]}"
    else:
        return
    raise ConfigError(why, where=f"--address {address}", remedy="`ray status` shows a cluster on its machines")


def _launch(runs: Sequence[Run]) -> Iterator[tuple[Run, str]]:
    import ray

    kind = "gpu" if ray.cluster_resources().get("GPU") else "cpu"
    task = ray.remote(max_retries=RETRIES, retry_exceptions=[EndedError], **{f"num_{kind}s": 1})(run_on_node)
    running = {task.remote(run, Path.cwd()): run for run in runs}
    print(f"akyolo: Ray gives each a {kind.upper()}; {LOG} in the folder of a run shows what it does", flush=True)
    while running:
        (ended,), _ = ray.wait(list(running))
        run, wrong = running.pop(ended), _what_went_wrong(ended)
        print(f"\nakyolo: {run.home} {'failed' if wrong else 'is done'}, {len(running)} to go", flush=True)
        yield run, wrong and f"{wrong}, see {LOG} there"


def run_on_node(run: Run, current: Path) -> int:
    """A task: the run in a process of its own; its exit code, 0 or 2.

    Args:
        run: with a folder that may be relative.
        current: the folder to be in.

    Raises:
        ConfigError: this node does not see the spec.
        EndedError: with any other exit code.
    """
    if not (current / run.folder / SPEC).exists():
        raise ConfigError(
            f"is not there on node {platform.node()}",
            where=str(current / run.folder / SPEC),
            remedy="Ray needs a folder that all nodes share, with the data and akyolo itself",
        )
    home = current / run.home
    home.mkdir(exist_ok=True)
    with (home / LOG).open("ab") as log:
        code = run_here(run, cwd=current, stdout=log, stderr=subprocess.STDOUT)
    if code not in NOTHING_TO_RETRY:
        raise EndedError(in_words(code))
    return code


def _what_went_wrong(task: Any) -> str:
    """Of a task that has ended, all retries included; empty for nothing."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return in_words(ray.get(task))
    except RayTaskError as error:
        if isinstance(error.cause, AkyoloError):
            raise error.cause from None
        return first_line(error.cause)
    except RayError as error:
        return first_line(error)
