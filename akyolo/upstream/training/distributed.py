"""Training in several processes, on one machine or more, on CPU or CUDA.

Upstream launches the workers of one machine's GPUs by itself. Under torchrun (`torchrun --nproc_per_node 2 -m
akyolo.cli train ...`), or whatever else sets RANK, LOCAL_RANK and WORLD_SIZE, it counts the devices of one machine as
all processes, needs CUDA, and gives ranks different results folders; this file sets that right.

`batch` is the batch of all processes together. Images are dealt out without overlap; when their number is no multiple
of the number of processes, torch's DistributedSampler repeats the first few to make it one. BatchNorm statistics stay
each rank's own in training; those of rank 0 are validated and saved, as upstream does.
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

LONGEST_WAIT = timedelta(hours=3)  # for one rank at work alone; upstream's own number


def is_main_process() -> bool:
    """Whether this is the only process of a training, or the one that writes its results."""
    return RANK in {-1, 0}


def is_only_process() -> bool:
    """Whether no other process takes part."""
    return RANK == -1


class InProcesses(BaseTrainer):
    """A trainer that may be one of WORLD_SIZE processes; alone (RANK is -1) it is upstream's.

    Relies on: upstream's RANK, LOCAL_RANK and WORLD_SIZE being those of the environment, `self.world_size` being read
    after `__init__` only, `_setup_ddp` being called first in a training, `save_dir` being accepted as an override;
    and, on CPU, `_setup_train` finding DistributedDataParallel in `torch.nn.parallel`, and the validator AutoBackend
    and `get_torch_device_backend` in its own module.
    """

    device: torch.device
    save_dir: Path

    def __init__(self, cfg: Any = DEFAULT_CFG, overrides: Any = None, _callbacks: Any = None) -> None:
        overrides = dict(cfg2dict(overrides or {}))
        if RANK > 0 and not (overrides.get("save_dir") or overrides.get("resume")):
            # rank 0 says which folder once all have met; upstream would take an older run's and delete its csv
            overrides["save_dir"] = str(Path(tempfile.gettempdir(), f"akyolo-{os.getpid()}-rank-{RANK}"))
        super().__init__(cfg, overrides, _callbacks)
        if RANK >= 0:
            self.world_size = WORLD_SIZE
            self._check_for_processes()

    def _check_for_processes(self) -> None:
        """What upstream checks in the process that launches its workers, which a launch by torchrun does not have."""
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
        return RANK >= 0 and self.device.type == "cpu"

    def _setup_ddp(self) -> None:
        """Meet the other ranks, and agree on the results folder."""
        on_cpu = self._is_worker_on_cpu()
        if not on_cpu:
            self.args.device = devices_here(self.args.device, torch.cuda.device_count(), LOCAL_RANK)
        if dist.is_initialized():  # by an earlier training of the same script
            self.device = self.device if on_cpu else torch.device("cuda", torch.cuda.current_device())
        elif on_cpu:
            dist.init_process_group("gloo", timeout=LONGEST_WAIT, rank=RANK, world_size=WORLD_SIZE)
        else:
            super()._setup_ddp()
        self._share_results_folder()

    def _share_results_folder(self) -> None:
        folder = [str(self.save_dir)]
        dist.broadcast_object_list(folder, src=0)
        if RANK > 0:
            self.save_dir = Path(folder[0])
            self.args.save_dir, self.args.name = folder[0], self.save_dir.name
            self.wdir, self.csv = self.save_dir / "weights", self.save_dir / "results.csv"
            self.last, self.best = self.wdir / "last.pt", self.wdir / "best.pt"
        if not self.wdir.is_dir():
            raise TrainingError(f"rank {RANK} does not see {folder[0]}: project= must be a folder all machines share")

    def _setup_train(self) -> None:
        on_cpu = replaced(nn.parallel, DistributedDataParallel=_ParallelOnCPU)
        with on_cpu if self._is_worker_on_cpu() else nullcontext():
            super()._setup_train()

    def build_dataset(self, *args: Any, **kwargs: Any) -> Any:
        """Rank 0 first: it writes the label cache, in a folder that machines may share."""
        if dist.is_initialized() and RANK > 0:
            dist.barrier()
        dataset = super().build_dataset(*args, **kwargs)
        if dist.is_initialized() and RANK == 0:
            dist.barrier()
        return dataset

    def final_eval(self) -> None:
        """As upstream, whose validator takes it that every rank has a CUDA device."""
        no_cuda = SimpleNamespace(current_device=lambda: 0)  # asked for, then not used
        on_cpu = replaced(validator, AutoBackend=_backend_on_cpu, get_torch_device_backend=lambda _: no_cuda)
        with on_cpu if self._is_worker_on_cpu() else nullcontext():
            super().final_eval()


def devices_here(device: str, count: int, local_rank: int) -> str:
    """The devices of this machine's processes in the order of LOCAL_RANK, as upstream's `_setup_ddp` reads them.

    Args:
        device: the training argument; empty for all.
        count: how many CUDA devices this process sees.
        local_rank: the number of this process on its machine.

    Raises:
        ConfigError: there is none for this process.
    """
    if device.startswith(("npu", "xpu")):
        return device
    named = device.split(",") if device else [str(index) for index in range(count)]
    if count == 1:
        named = ["0"] * (local_rank + 1)  # some schedulers show each process its own device alone
    if local_rank >= len(named) or not named[local_rank].isdigit():
        raise ConfigError(f"'device={device}' has none for process {local_rank} of this machine: name one for each")
    return ",".join(named)


class _ParallelOnCPU(nn.parallel.DistributedDataParallel):
    """Without the `device_ids` that upstream always gives, and that torch refuses for a model on CPU."""

    def __init__(self, module: nn.Module, device_ids: Any = None, **options: Any) -> None:
        super().__init__(module, **options)


def _backend_on_cpu(**arguments: Any) -> AutoBackend:
    return AutoBackend(**{**arguments, "device": torch.device("cpu")})
