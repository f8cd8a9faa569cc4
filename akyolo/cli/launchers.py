"""The options that say where the runs of a table are trained."""

import argparse
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from akyolo.errors import ConfigError

if TYPE_CHECKING:
    from akyolo.experiments.launch.local import Launch

HELP = "here (default): one after the other. ray: spread over a cluster. slurm: print the sbatch command"


def configure_launcher(parser: argparse.ArgumentParser) -> None:
    """--launcher, --address."""
    parser.add_argument("--launcher", choices=("here", "ray", "slurm"), default="here", help=HELP)
    parser.add_argument(
        "--address", metavar="HOST:PORT", help="of a Ray cluster (default: RAY_ADDRESS, else one on this machine)"
    )


def launcher(options: argparse.Namespace) -> "AbstractContextManager[Launch]":
    """What starts runs, while it is entered.

    Raises:
        ConfigError: on entering it too: the launcher cannot be had.
    """
    from akyolo.experiments.launch.local import one_by_one
    from akyolo.experiments.launch.ray_cluster import on_ray
    from akyolo.experiments.launch.slurm import job_arrays

    if options.launcher == "ray":
        return on_ray(options.address)
    if options.address is not None:
        raise ConfigError("goes with --launcher ray", location="--address")
    return nullcontext(job_arrays if options.launcher == "slurm" else one_by_one)
