"""The options that say where runs are executed."""

import argparse
from contextlib import AbstractContextManager, nullcontext

from akyolo.errors import ConfigError
from akyolo.experiments.launch.local import Launch, run_in_order
from akyolo.experiments.launch.ray_cluster import connect
from akyolo.experiments.launch.slurm import print_job_arrays

HELP = "here (default): one after the other. ray: spread over a cluster. slurm: print the sbatch command"


def configure_launcher(parser: argparse.ArgumentParser) -> None:
    """Add --launcher and --address."""
    parser.add_argument("--launcher", choices=("here", "ray", "slurm"), default="here", help=HELP)
    parser.add_argument(
        "--address", metavar="HOST:PORT", help="of a Ray cluster (default: RAY_ADDRESS, else one on this machine)"
    )


def select_launcher(options: argparse.Namespace) -> "AbstractContextManager[Launch]":
    """Return the context of a launcher.

    Raises:
        ConfigError: here or when the context is entered, if the launcher cannot be used.
    """
    if options.launcher == "ray":
        return connect(options.address)
    if options.address is not None:
        raise ConfigError("goes with --launcher ray", location="--address")
    return nullcontext(print_job_arrays if options.launcher == "slurm" else run_in_order)
