"""Runs spread over a Ray cluster: a task each, with as many GPUs as it names where the cluster has some, else a CPU.

A task does nothing but start the run's own process, which ends when the task's worker ends, in whatever way. Ray starts
it again then, on any node, and it resumes from its checkpoint. Nodes must share the file system: a task goes to the
current folder of the command, and to the folder of the table from there.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from akyolo.errors import ConfigError, first_line
from akyolo.experiments.launch.local import Launch, Run
from akyolo.experiments.run import process
from akyolo.experiments.run.worker import SPEC
from akyolo.upstream.arguments.packages import check_packages

RETRIES = 3  # of a task
LONGEST_WAIT = 15  # seconds for an answer of the cluster; Ray by itself waits for two minutes
OBJECT_STORE = 80 * 2**20  # bytes; about the least that Ray takes, since tasks return no more than a number
SHARED = "Ray needs a folder that all nodes share, with the data too, and akyolo installed on each"
LOG = "log.txt"  # in the folder of a run: what it would show on a terminal, of all its starts


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
    raise ConfigError(why, location=f"--address {address}", remedy="`ray status` shows a cluster on its machines")


def _launch(runs: Sequence[Run]) -> Iterator[tuple[Run, str]]:
    import ray

    ray.cloudpickle.register_pickle_by_value(process)
    kind = "gpu" if ray.cluster_resources().get("GPU") else "cpu"
    task = ray.remote(max_retries=RETRIES, retry_exceptions=[ChildProcessError])(process.run_on_node)
    running = {}
    for run in runs:
        files = {"current": str(Path.cwd()), "spec": str(run.folder / SPEC), "log": str(run.home / LOG)}
        resources: dict[str, Any] = {f"num_{kind}s": run.devices}
        running[task.options(**resources).remote(str(run.folder), run.row, run.seed, **files)] = run
    print(f"akyolo: Ray gives each a {kind.upper()}; {LOG} in the folder of a run shows what it does", flush=True)
    while running:
        (ended,), _ = ray.wait(list(running))
        run, wrong = running.pop(ended), _what_went_wrong(ended)
        print(f"\nakyolo: {run.home} {'failed' if wrong else 'is done'}, {len(running)} to go", flush=True)
        yield run, wrong and f"{wrong}, see {LOG} there"


def _what_went_wrong(task: Any) -> str:
    """Of a task that has ended, all retries included; empty for nothing."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return process.in_words(ray.get(task))
    except RayTaskError as error:
        if isinstance(error.cause, FileNotFoundError):
            raise ConfigError(str(error.cause), remedy=SHARED) from None
        return first_line(error.cause)
    except RayError as error:
        return first_line(error)
