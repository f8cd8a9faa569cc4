"""Train one row with one seed.

A run can be resumed after any interruption. Its folder holds the model YAML, the files of an upstream training
(args.yaml, results.csv, weights/), starts.json, detections.npz and, once the run is over, record.json.
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
from akyolo.experiments.spec.row_models import read_model
from akyolo.experiments.spec.table_spec import TableRow, TableRun, TableSpec
from akyolo.files import AtomicPath, lock, remove_partial
from akyolo.model_yaml import model_yaml_text
from akyolo.scoring.protocols import check_protocol
from akyolo.upstream.arguments.data import embedded_data, resolve_data
from akyolo.upstream.arguments.used_by import offset_parameters
from akyolo.upstream.evaluation.dataset import images_used, label_checksum
from akyolo.upstream.model import YOLO
from akyolo.upstream.training.checkpoints import finish

RECORD, STARTS, LOCK = "record.json", "starts.json", ".lock"
LONGEST = 100  # characters of a row's name in the name of a folder
PATIENCE = 15.0  # seconds; data loaders of a killed training share its lock and outlive it by a few seconds
OF_THIS_MACHINE = ("model", "data", "project", "save_dir", "resume")
# Training arguments that the evaluation takes over.
OF_EVALUATION = (
    "imgsz", "device", "workers", "split", "fraction", "classes", "single_cls", "conf", "iou", "max_det", "nms",
    "agnostic_nms",
)  # fmt: skip
NAMES = {"precision(B)": "P", "recall(B)": "R", "mAP50(B)": "mAP50", "mAP50-95(B)": "mAP"}  # by upstream's names


def run_folder(folder: Path, row: str, seed: int) -> Path:
    """Return the folder of a run.

    Example:
        >>> from pathlib import Path
        >>> from akyolo.experiments.run.runs import run_folder
        >>> run_folder(Path("mine"), "AKConv:5", 0).name
        'AKConv-5-seed0'
    """
    name = re.sub("[^A-Za-z0-9.=_]+", "-", row).strip("-")
    return folder / f"{name[:LONGEST]}-seed{seed}"


def execute(folder: Path, run: TableRun) -> Record:
    """Execute a run, or resume it.

    A run that has a record is not executed again.

    Args:
        folder: of the table.
        run: of that table.

    Raises:
        AkyoloError: another process is executing the run, or the training has to stop; the run can be executed again.
    """
    check_protocol(run.table.protocol)
    home = run_folder(folder, run.row.row, run.seed).resolve()
    home.mkdir(parents=True, exist_ok=True)
    with lock_folder(home, PATIENCE):
        remove_partial(home)
        if (home / RECORD).exists():
            return read_record(home / RECORD)
        _train(home, run)
        record = _record(home, run)
        write_record(home / RECORD, record)
    return record


def check_model(home: Path, row: TableRow, text: str) -> None:
    """Refuse a run of another model.

    Args:
        home: the folder of the run.
        row: its row.
        text: the row's model YAML as it is now.

    Raises:
        ConfigError: the folder has another model YAML.
    """
    file = home / Path(row.base).name
    if file.exists() and file.read_text(encoding="utf-8") != text:
        raise ConfigError(
            f"{row.base} has changed since this run was begun", location=str(file), remedy="use another --name"
        )


@contextmanager
def lock_folder(folder: Path, patience: float) -> Iterator[None]:
    """Keep other processes from a folder.

    Args:
        folder: of the run or the table.
        patience: seconds to wait for another process.

    Raises:
        ConfigError: another process keeps the lock for longer than that.
    """
    with ExitStack() as held:
        try:
            held.enter_context(lock(folder / LOCK, patience))
        except TimeoutError:
            raise ConfigError("is being run by another process", location=str(folder)) from None
        yield


def is_being_run(home: Path) -> bool:
    """Return whether a process is executing the run.

    A process that starts now waits until this check is over.
    """
    if not (home / LOCK).exists():
        return False
    try:
        with lock_folder(home, 0):
            return False
    except ConfigError:
        return True


def count_epochs(home: Path) -> int:
    """Return how many epochs upstream's results.csv has."""
    file = home / "results.csv"
    return max(0, len(file.read_text(encoding="utf-8").splitlines()) - 1) if file.exists() else 0


def _train(home: Path, run: TableRun) -> None:
    """Train up to the last epoch, or resume."""
    last, starts = AtomicPath(home / "weights" / "last.pt"), Starts(home / STARTS)
    file, table = _write_model(home, run.row), run.table
    if not last.exists():
        data = {"data": table.data} if table.data else {}  # without it: the embedded data set, with its recipe
        recipe = {"recipe": table.recipe} if table.recipe else {}
        settings = {"deterministic": True, **table.settings, "seed": run.seed, "save_dir": str(home)}
        model = YOLO(str(file))
        if not offset_parameters(model.model):
            settings.pop("offset_lr", None)  # it is meant for other rows of the table
        starts.train(model, 1, **data, **recipe, **settings)
        return
    model = YOLO(str(last))
    state: Any = model.ckpt
    epoch = state["epoch"] + 1  # the last epoch that is over; 0 if the training is
    if 0 < epoch < state["train_args"]["epochs"]:
        data = resolve_data({"data": table.data or embedded_data()})
        starts.train(model, epoch + 1, resume=True, save_dir=str(home), **data)
    elif epoch:  # killed between its last epoch and its end
        finish(last, last.with_name("best.pt"))


def _write_model(home: Path, row: TableRow) -> Path:
    """Write the model YAML of a row.

    The file has the name of the base, which names the scale.
    """
    text = model_yaml_text(read_model(row))
    check_model(home, row, text)
    file = AtomicPath(home / Path(row.base).name)
    file.write_bytes(text.encode())
    return file


class Starts:
    """The starts of a training.

    The file is right up to the last checkpoint.
    """

    def __init__(self, file: Path) -> None:
        """Read the starts so far.

        Raises:
            ConfigError: the file is damaged.
        """
        self.file = AtomicPath(file)
        try:
            self.entries: list[dict[str, Any]] = json.loads(self.file.read_text()) if self.file.exists() else []
        except ValueError as error:
            raise ConfigError(f"cannot be read: {error}", location=str(file), remedy=AGAIN) from None

    def train(self, model: YOLO, epoch: int, **arguments: Any) -> None:
        """Train `model`, which begins with this epoch."""
        self.entries.append({"epoch": epoch, "date": _now(), "seconds": 0.0, "cpu_seconds": 0.0, "peak_bytes": None})
        self.file.write_bytes(json.dumps(self.entries).encode())
        wall, cpu = time.perf_counter(), time.process_time()

        def update(trainer: Any) -> None:
            self.entries[-1] |= {
                "seconds": time.perf_counter() - wall,
                "cpu_seconds": time.process_time() - cpu,
                "peak_bytes": peak_bytes(trainer.device),
                "hardware": hardware(trainer.device),
            }
            self.file.write_bytes(json.dumps(self.entries).encode())

        model.add_callback("on_model_save", update)
        model.train(**arguments)
        update(model.trainer)


def _record(home: Path, run: TableRun) -> Record:
    """Evaluate the model; return its record."""
    last, best = home / "weights" / "last.pt", home / "weights" / "best.pt"
    state: Any = YOLO(str(last)).ckpt
    used = state["train_args"]
    starts = Starts(home / STARTS).entries
    model: Any = YOLO(str(best if best.exists() else last))
    deployed = deployed_cost(model.model, used["imgsz"], used["imgsz"], model.model.yaml.get("channels", 3))
    metrics = _evaluate(model, run.table, used, home)
    return Record(
        table=run.table.table,
        row=run.row.row,
        seed=run.seed,
        asked=run.requested(),
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


def _evaluate(model: Any, table: TableSpec, used: Mapping[str, Any], home: Path) -> dict[str, dict[str, float | None]]:
    """Return the metrics by protocol.

    The batch is upstream's for validation, since padding depends on it.
    """
    settings = {key: used[key] for key in OF_EVALUATION}
    more = {"batch": 2 * used["batch"], "plots": False, "save_dir": str(home), "protocol": table.protocol}
    return {table.protocol: dict(model.val(**{**settings, **more, **table.evaluation}).metrics)}


def _curve(results: Mapping[str, Sequence[float]], first_epochs: set[int], weights: Path) -> list[dict[str, Any]]:
    """Return one entry an epoch.

    Args:
        results: the columns of results.csv.
        first_epochs: the epochs that a start began with, where upstream's clock begins at 0 again.
        weights: the checkpoint.

    Raises:
        ConfigError: an epoch is missing.
    """
    curve, before = [], 0.0
    for line in zip(*results.values(), strict=True):
        values = {key.strip(): float(value) for key, value in zip(results, line, strict=True)}
        epoch, now = int(values.pop("epoch")), values.pop("time")
        named = {NAMES.get(key.removeprefix("metrics/"), key): value for key, value in values.items()}
        finite = {key: value if math.isfinite(value) else None for key, value in named.items()}
        curve.append({"epoch": epoch, "seconds": now - (0.0 if epoch in first_epochs else before), **finite})
        before = now
    if not curve or [entry["epoch"] for entry in curve] != [*range(1, len(curve) + 1)]:
        raise ConfigError("does not hold the results of each epoch", location=str(weights), remedy=AGAIN)
    return curve


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
