"""Spread runs over a Ray cluster.

Each run is a task. A task gets as many GPUs as the training names, or CPUs if the cluster has no GPU. It only starts
the process of the run, which ends when the worker of the task ends, for whatever reason. Ray then starts the task
again, on any node, and the run resumes from its checkpoint. All nodes must share a file system: a task changes to the
current folder of the command, and finds the folder of the table from there.
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
LONGEST_WAIT = 15  # seconds until the cluster must answer; Ray's own limit is two minutes
OBJECT_STORE = 80 * 2**20  # bytes; about the smallest that Ray accepts, since tasks return only a number
SHARED = "Ray needs a folder that all nodes share, with the data in it, and akyolo installed on each node"
LOG = "log.txt"  # in the folder of a run: the output of all its starts


@contextmanager
def connect(address: str | None) -> Iterator[Launch]:
    """Connect to a Ray cluster; yield its launcher.

    Args:
        address: of the cluster; None for the one in RAY_ADDRESS. Without either, a cluster is started on this machine
            and ends with the context.

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
        ray.shutdown()  # ends the workers, and thereby the runs


def _check_answer(address: str) -> None:
    """Refuse an address where no cluster answers.

    Another process tries it, since Ray cannot be interrupted while it waits for a connection.
    """
    program = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level='ERROR')"
    command = [sys.executable, "-c", program, address]
    try:
        subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=LONGEST_WAIT
        )
    except subprocess.TimeoutExpired:
        what = f"no Ray cluster answers there within {LONGEST_WAIT} s"
    except subprocess.CalledProcessError as error:
        what = f"no Ray cluster can be used there: {error.stderr.strip().splitlines()[-1]}"
    else:
        return
    raise ConfigError(what, location=f"--address {address}", remedy="`ray status` shows a cluster on its machines")


def _launch(runs: Sequence[Run]) -> Iterator[tuple[Run, str]]:
    import ray

    ray.cloudpickle.register_pickle_by_value(process)
    processor = "gpu" if ray.cluster_resources().get("GPU") else "cpu"
    task = ray.remote(max_retries=RETRIES, retry_exceptions=[ChildProcessError])(process.run_on_node)
    running = {}
    for run in runs:
        files = {"current": str(Path.cwd()), "spec": str(run.folder / SPEC), "log": str(run.home / LOG)}
        resources: dict[str, Any] = {f"num_{processor}s": run.devices}
        running[task.options(**resources).remote(str(run.folder), run.row, run.seed, **files)] = run
    print(f"akyolo: Ray gives each run a {processor.upper()}; {LOG} in its folder shows its output", flush=True)
    while running:
        (ended,), _ = ray.wait(list(running))
        run, error = running.pop(ended), _error_of(ended)
        print(f"\nakyolo: {run.home} {'failed' if error else 'is done'}, {len(running)} to go", flush=True)
        yield run, error and f"{error}, see {LOG} there"


def _error_of(task: Any) -> str:
    """Return the error of a task after all retries; "" on success."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return process.describe_exit(ray.get(task))
    except RayTaskError as error:
        if isinstance(error.cause, FileNotFoundError):
            raise ConfigError(str(error.cause), remedy=SHARED) from None
        return first_line(error.cause)
    except RayError as error:
        return first_line(error)
