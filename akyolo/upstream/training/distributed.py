"""Train in several processes.

Ultralytics launches the workers for the GPUs of one machine by itself. Under torchrun (`torchrun --nproc_per_node 2 -m
akyolo.cli train ...`), or another launcher that sets RANK, LOCAL_RANK and WORLD_SIZE, it takes the number of devices of
one machine for the number of processes, needs CUDA, and gives each rank its own results folder. This file corrects
that, on CPU and on CUDA.

`batch` is the batch of all processes together. Each process gets its own images; if their number is not a multiple of
the number of processes, torch's DistributedSampler repeats the first few. Each rank keeps its own BatchNorm statistics
in training; those of rank 0 are validated and saved, as Ultralytics does.
"""

import os
import tempfile
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import distributed as dist
from torch import nn
from ultralytics.cfg import cfg2dict
from ultralytics.engine import validator
from ultralytics.engine.trainer import BaseTrainer
from ultralytics.nn.autobackend import AutoBackend
from ultralytics.utils import DEFAULT_CFG, LOCAL_RANK, LOGGER, RANK, WORLD_SIZE

from akyolo.errors import ConfigError, TrainingError
from akyolo.upstream.patches.replacing import replaced

LONGEST_WAIT = timedelta(hours=3)  # for a rank that works alone, as in Ultralytics


def is_main_process() -> bool:
    """Return whether this process writes results."""
    return RANK in {-1, 0}


def is_only_process() -> bool:
    """Return whether the training has no other process."""
    return RANK == -1


class InProcesses(BaseTrainer):
    """A trainer for one or several processes.

    Alone (RANK is -1) it does what the trainer of Ultralytics does.

    It relies on upstream: RANK, LOCAL_RANK and WORLD_SIZE are those of the environment, `self.world_size` is read after
    `__init__` only, a training calls `_setup_ddp` first, and `save_dir` is accepted as an override. On CPU also:
    `_setup_train` takes DistributedDataParallel from `torch.nn.parallel`, and the validator takes AutoBackend and
    `get_torch_device_backend` from its own module.
    """

    device: torch.device
    save_dir: Path

    def __init__(self, cfg: Any = DEFAULT_CFG, overrides: Any = None, _callbacks: Any = None) -> None:
        """Make the trainer of this rank."""
        overrides = dict(cfg2dict(overrides or {}))
        if RANK > 0 and not (overrides.get("save_dir") or overrides.get("resume")):
            # Rank 0 shares its folder once all ranks are connected. Ultralytics would take the folder of an older run
            # here and delete its csv.
            overrides["save_dir"] = str(Path(tempfile.gettempdir(), f"akyolo-{os.getpid()}-rank-{RANK}"))
        super().__init__(cfg, overrides, _callbacks)
        if RANK >= 0:
            self.world_size = WORLD_SIZE
            self._check_for_processes()

    def _check_for_processes(self) -> None:
        """Check a launch by torchrun.

        Ultralytics checks them in the process that launches its workers, which torchrun does not have.
        """
        if LOCAL_RANK < 0:
            raise ConfigError("RANK and WORLD_SIZE are set, LOCAL_RANK is not: launch with torchrun, or set it too")
        if self.args.batch < WORLD_SIZE:
            raise ConfigError(f"'batch={self.args.batch}' must be at least 1 image for each of {WORLD_SIZE} processes")
        if self.args.batch % WORLD_SIZE:
            each = self.args.batch // WORLD_SIZE
            LOGGER.warning(f"'batch={self.args.batch}' over {WORLD_SIZE} processes takes {each} images in each")
        if self.args.rect:
            LOGGER.warning("'rect=True' does not go with several processes, setting 'rect=False'")
            self.args.rect = False

    def _is_worker_on_cpu(self) -> bool:
        """Return whether several processes use the CPU."""
        return RANK >= 0 and self.device.type == "cpu"

    def _setup_ddp(self) -> None:
        """Connect to the other ranks.

        All ranks share a results folder.
        """
        on_cpu = self._is_worker_on_cpu()
        if not on_cpu:
            self.args.device = devices_here(self.args.device, torch.cuda.device_count(), LOCAL_RANK)
        if dist.is_initialized():  # by an earlier training of this script
            self.device = self.device if on_cpu else torch.device("cuda", torch.cuda.current_device())
        elif on_cpu:
            dist.init_process_group("gloo", timeout=LONGEST_WAIT, rank=RANK, world_size=WORLD_SIZE)
        else:
            super()._setup_ddp()
        self._share_results_folder()

    def _share_results_folder(self) -> None:
        """Use the results folder of rank 0."""
        folder = [str(self.save_dir)]
        dist.broadcast_object_list(folder, src=0)
        if RANK > 0:
            self.save_dir = Path(folder[0])
            self.args.save_dir, self.args.name = folder[0], self.save_dir.name
            self.wdir, self.csv = self.save_dir / "weights", self.save_dir / "results.csv"
            self.last, self.best = self.wdir / "last.pt", self.wdir / "best.pt"
        if not self.wdir.is_dir():
            raise TrainingError(
                f"rank {RANK} does not see {folder[0]}: project= must be a folder that all machines share"
            )

    def _setup_train(self) -> None:
        """Set up as upstream, also on CPU."""
        on_cpu = replaced(nn.parallel, DistributedDataParallel=_ParallelOnCPU)
        with on_cpu if self._is_worker_on_cpu() else nullcontext():
            super()._setup_train()

    def build_dataset(self, *args: Any, **kwargs: Any) -> Any:
        """Build as upstream, on rank 0 first.

        Rank 0 writes the label cache, in a folder that machines may share.
        """
        if dist.is_initialized() and RANK > 0:
            dist.barrier()
        dataset = super().build_dataset(*args, **kwargs)
        if dist.is_initialized() and RANK == 0:
            dist.barrier()
        return dataset

    def final_eval(self) -> None:
        """Validate as upstream, also on CPU."""
        no_cuda = SimpleNamespace(current_device=lambda: 0)  # The validator reads the device, and does not use it.
        on_cpu = replaced(validator, AutoBackend=_backend_on_cpu, get_torch_device_backend=lambda _: no_cuda)
        with on_cpu if self._is_worker_on_cpu() else nullcontext():
            super().final_eval()


def devices_here(device: str, count: int, local_rank: int) -> str:
    """Return the devices of this machine's processes.

    They are ordered by LOCAL_RANK.

    This is the format that upstream's `_setup_ddp` reads.

    Args:
        device: the training argument; empty for all.
        count: the number of CUDA devices that this process sees.
        local_rank: the number of this process on its machine.

    Raises:
        ConfigError: there is no device for this process.

    Example:
        >>> devices_here("2,3", count=4, local_rank=1)
        '2,3'
        >>> devices_here("", count=1, local_rank=1)  # a scheduler shows each process one device
        '0,0'
    """
    if device.startswith(("npu", "xpu")):
        return device
    devices = device.split(",") if device else [str(index) for index in range(count)]
    if count == 1:
        devices = ["0"] * (local_rank + 1)  # Some schedulers show each process only its own device.
    if local_rank >= len(devices) or not devices[local_rank].isdigit():
        raise ConfigError(
            f"'device={device}' has none for process {local_rank} of this machine: write one device for each process"
        )
    return ",".join(devices)


class _ParallelOnCPU(nn.parallel.DistributedDataParallel):
    """DistributedDataParallel without `device_ids`.

    Ultralytics always passes them, and torch refuses them for a model on CPU.
    """

    def __init__(self, module: nn.Module, device_ids: Any = None, **options: Any) -> None:
        """Ignore `device_ids`."""
        super().__init__(module, **options)


def _backend_on_cpu(**arguments: Any) -> AutoBackend:
    """Return upstream's AutoBackend on CPU."""
    return AutoBackend(**{**arguments, "device": torch.device("cpu")})
