"""One run: a row of a table, a seed, a folder; resumable at any moment, and a record at its end.

The folder holds the model YAML, what upstream leaves of a training (args.yaml, results.csv, weights/), starts.json,
detections.npz and, last of all, record.json.
"""

import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from akyolo.cost import deployed_cost
from akyolo.errors import ConfigError
from akyolo.experiments.run.environment import hardware, peak_bytes, versions
from akyolo.experiments.run.records import AGAIN, Record, read_record, write_record
from akyolo.experiments.spec.rows import TableRow
from akyolo.files import AtomicPath, lock, remove_partial
from akyolo.model_yaml import model_yaml_text
from akyolo.scoring.protocols import check_protocol
from akyolo.swapping import swap
from akyolo.upstream.arguments.data import embedded_data, resolve_data
from akyolo.upstream.arguments.used_by import offset_parameters
from akyolo.upstream.evaluation.dataset import images_used, label_checksum
from akyolo.upstream.model import YOLO
from akyolo.upstream.model_yaml import read_model_yaml
from akyolo.upstream.training.checkpoints import finish

RECORD, STARTS, LOCK = "record.json", "starts.json", ".lock"
LONGEST = 100  # characters of a row in the name of a folder
PATIENCE = 15.0  # seconds; the loaders of a killed training, which share its lock, outlive it by a few
OF_THIS_MACHINE = ("model", "data", "project", "save_dir", "resume")
# training arguments that its evaluation takes over
OF_EVALUATION = (
    "imgsz", "device", "workers", "split", "fraction", "classes", "single_cls", "conf", "iou", "max_det", "nms",
    "agnostic_nms",
)  # fmt: skip
NAMES = {"precision(B)": "P", "recall(B)": "R", "mAP50(B)": "mAP50", "mAP50-95(B)": "mAP"}  # by upstream


def run_folder(folder: Path, row: str, seed: int) -> Path:
    """Where a run of the table in `folder` lies: `AKConv-5-seed0` for the row AKConv:5."""
    name = re.sub("[^A-Za-z0-9.=_]+", "-", row).strip("-")
    return folder / f"{name[:LONGEST]}-seed{seed}"


def run(folder: Path, row: TableRow, seed: int) -> Record:
    """Train, or go on where it was, or only evaluate; nothing where there is a record.

    Args:
        folder: of the table.
        row: of its spec.
        seed: of the training.

    Raises:
        AkyoloError: another process is at it, or the training has to stop; it can be run again.
    """
    check_protocol(row.protocol)
    home = run_folder(folder, row.row, seed).resolve()
    home.mkdir(parents=True, exist_ok=True)
    with alone(home, PATIENCE):
        remove_partial(home)
        if (home / RECORD).exists():
            return read_record(home / RECORD)
        _train(home, row, seed)
        record = _recorded(home, row, seed)
        write_record(home / RECORD, record)
    return record


def model_of(row: TableRow) -> dict[str, Any]:
    """The model YAML of a row.

    Raises:
        RowError: its base cannot be read, or does not take the operator.
    """
    base = read_model_yaml(row.base)
    return swap(base, row.swap)[0] if row.swap else base


def check_model(home: Path, row: TableRow) -> None:
    """Refuse to go on with a run that was begun with another model.

    Raises:
        ConfigError: the row's model is not the one in the folder.
        RowError: see `model_of`.
    """
    file = home / Path(row.base).name
    if file.exists() and file.read_text(encoding="utf-8") != model_yaml_text(model_of(row)):
        raise ConfigError(
            f"{row.base} has changed since this run was begun", location=str(file), remedy="use another --name"
        )


@contextmanager
def alone(folder: Path, patience: float) -> Iterator[None]:
    """While no other process is at a run, or at a table, in this folder.

    Raises:
        ConfigError: one is, for longer than `patience` in seconds.
    """
    with ExitStack() as held:
        try:
            held.enter_context(lock(folder / LOCK, patience))
        except TimeoutError:
            raise ConfigError("is being run by another process", location=str(folder)) from None
        yield


def is_being_run(home: Path) -> bool:
    """Whether a process is at it; one that begins at this very moment waits `PATIENCE` for the answer."""
    if not (home / LOCK).exists():
        return False
    try:
        with alone(home, 0):
            return False
    except ConfigError:
        return True


def epochs_done(home: Path) -> int:
    """As upstream's results.csv says, a line an epoch below its heads."""
    file = home / "results.csv"
    return max(0, len(file.read_text(encoding="utf-8").splitlines()) - 1) if file.exists() else 0


def _train(home: Path, row: TableRow, seed: int) -> None:
    """Until the last epoch is done; best.pt and last.pt then are as upstream leaves them."""
    last, starts = AtomicPath(home / "weights" / "last.pt"), Starts(home / STARTS)
    file = _model_yaml(home, row)
    if not last.exists():
        data = {"data": row.data} if row.data else {}  # or the embedded set, with its recipe
        recipe = {"recipe": row.recipe} if row.recipe else {}
        settings = {"deterministic": True, **row.settings, "seed": seed, "save_dir": str(home)}
        model = YOLO(str(file))
        if not offset_parameters(model.model):
            settings.pop("offset_lr", None)  # of the table's other rows
        starts.train(model, 1, **data, **recipe, **settings)
        return
    model = YOLO(str(last))
    state: Any = model.ckpt
    epoch = state["epoch"] + 1  # done, 0 where it was finished
    if 0 < epoch < state["train_args"]["epochs"]:
        data = resolve_data({"data": row.data or embedded_data()})
        starts.train(model, epoch + 1, resume=True, save_dir=str(home), **data)
    elif epoch:  # killed between its last epoch and its end
        finish(last, last.with_name("best.pt"))


def _model_yaml(home: Path, row: TableRow) -> Path:
    """The model of this run as a file, by the name of its base, which has the scale in it."""
    check_model(home, row)
    file = AtomicPath(home / Path(row.base).name)
    file.write_bytes(model_yaml_text(model_of(row)).encode())
    return file


class Starts:
    """How often a training was started, in a file that is right up to the last checkpoint."""

    def __init__(self, file: Path) -> None:
        self.file = AtomicPath(file)
        try:
            self.entries: list[dict[str, Any]] = json.loads(self.file.read_text()) if self.file.exists() else []
        except ValueError as error:
            raise ConfigError(f"cannot be read: {error}", location=str(file), remedy=AGAIN) from None

    def train(self, model: YOLO, epoch: int, **arguments: Any) -> None:
        """Train `model`, which begins at this epoch."""
        self.entries.append({"epoch": epoch, "date": _now(), "seconds": 0.0, "cpu_seconds": 0.0, "peak_bytes": None})
        self.file.write_bytes(json.dumps(self.entries).encode())
        wall, cpu = time.perf_counter(), time.process_time()

        def note(trainer: Any) -> None:
            self.entries[-1] |= {
                "seconds": time.perf_counter() - wall,
                "cpu_seconds": time.process_time() - cpu,
                "peak_bytes": peak_bytes(trainer.device),
                "hardware": hardware(trainer.device),
            }
            self.file.write_bytes(json.dumps(self.entries).encode())

        model.add_callback("on_model_save", note)
        model.train(**arguments)
        note(model.trainer)


def _recorded(home: Path, row: TableRow, seed: int) -> Record:
    last, best = home / "weights" / "last.pt", home / "weights" / "best.pt"
    state: Any = YOLO(str(last)).ckpt
    used = state["train_args"]
    starts = Starts(home / STARTS).entries
    model: Any = YOLO(str(best if best.exists() else last))
    deployed = deployed_cost(model.model, used["imgsz"], used["imgsz"], model.model.yaml.get("channels", 3))
    metrics = _evaluated(model, row, used, home)
    return Record(
        table=row.table,
        row=row.row,
        seed=seed,
        asked=row.asked(),
        settings={key: value for key, value in used.items() if key not in OF_THIS_MACHINE},
        batch=used["batch"],
        images=images_used(used["data"], used["fraction"], used["split"]),
        labels=label_checksum(used["data"], used["split"]),
        params=deployed.params,
        gflops=deployed.gflops,
        metrics=metrics,
        curve=_curve(state.get("train_results") or {}, {start["epoch"] for start in starts}, last),
        starts=starts,
        seconds=sum(start["seconds"] for start in starts),
        cpu_seconds=sum(start["cpu_seconds"] for start in starts),
        peak_bytes=max((start["peak_bytes"] or 0 for start in starts), default=0) or None,
        versions=versions(),
        hardware=hardware(next(model.model.parameters()).device),
        date=_now(),
    )


def _evaluated(model: Any, row: TableRow, used: Mapping[str, Any], home: Path) -> dict[str, dict[str, float | None]]:
    """Metrics by protocol; the batch is what upstream validates with, since padding depends on it."""
    settings = {key: used[key] for key in OF_EVALUATION}
    more = {"batch": 2 * used["batch"], "plots": False, "save_dir": str(home), "protocol": row.protocol}
    return {row.protocol: dict(model.val(**{**settings, **more, **row.evaluation}).metrics)}


def _curve(results: Mapping[str, Sequence[float]], begun: set[int], where: Path) -> list[dict[str, Any]]:
    """Each epoch once, from the columns that the checkpoint holds; upstream's clock begins anew at every start."""
    curve, before = [], 0.0
    for line in zip(*results.values(), strict=True):
        values = {key.strip(): float(value) for key, value in zip(results, line, strict=True)}
        epoch, now = int(values.pop("epoch")), values.pop("time")
        named = {NAMES.get(key.removeprefix("metrics/"), key): value for key, value in values.items()}
        finite = {key: value if math.isfinite(value) else None for key, value in named.items()}
        curve.append({"epoch": epoch, "seconds": now - (0.0 if epoch in begun else before), **finite})
        before = now
    if not curve or [entry["epoch"] for entry in curve] != [*range(1, len(curve) + 1)]:
        raise ConfigError("does not hold the results of each epoch", location=str(where), remedy=AGAIN)
    return curve


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
