"""The records of runs, one JSON file each."""

import dataclasses
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin

from akyolo.errors import ConfigError, first_line
from akyolo.files import AtomicPath

FORMAT = 1
AGAIN = "remove the folder of this run; the same command then runs it again"


@dataclass(frozen=True)
class Record:
    """The training and evaluation of one run.

    Args:
        table: the number or name of the table.
        row: the name of the row.
        seed: of the training.
        asked: what the table says of the row: base, swap, data, recipe, settings, protocol, evaluation; and `stated`,
            what the table says where the command overrode it.
        settings: every training argument as it was used, without the paths of this machine.
        batch: images in a step; fewer than requested if upstream halved the batch because CUDA ran out of memory.
        images: the number of images by split, for training and for validation.
        labels: SHA-256 over the label files, see `akyolo.upstream.evaluation.dataset`.
        params: parameters of the deployed model, see `akyolo.cost`.
        gflops: of the deployed model, for one image of the training's size.
        metrics: fractions of best.pt by protocol and by the protocol's names; None where nothing could be measured.
        curve: one entry an epoch: `epoch`, `seconds`, and the columns of upstream's results.csv, metrics by our names.
        starts: one entry a start of the training process: the `epoch` that it began with, `date`, and, up to its last
            checkpoint, `seconds`, `cpu_seconds` (of this process only), `peak_bytes` and `hardware`.
        seconds: of training, the sum over all starts.
        cpu_seconds: the same, CPU time.
        peak_bytes: the largest memory of a start: what CUDA allocated at once, or the resident set on CPU.
        versions: of akyolo, ultralytics, torch and python.
        hardware: of the evaluation: device, cpu, cores, threads, gpu.
        date: when the run was over.
        format: the version of the file format.
    """

    table: int | str
    row: str
    seed: int
    asked: dict[str, Any]
    settings: dict[str, Any]
    batch: int
    images: dict[str, int]
    labels: str
    params: int
    gflops: float
    metrics: dict[str, dict[str, float | None]]
    curve: list[dict[str, Any]]
    starts: list[dict[str, Any]]
    seconds: float
    cpu_seconds: float
    peak_bytes: int | None
    versions: dict[str, str]
    hardware: dict[str, Any]
    date: str
    format: int = FORMAT

    @property
    def seconds_per_epoch(self) -> float:
        """Return the median over the epochs, validation included."""
        return float(statistics.median(epoch["seconds"] for epoch in self.curve))


def write_record(file: Path, record: Record) -> None:
    """Write a record as a whole file."""
    AtomicPath(file).write_bytes((json.dumps(dataclasses.asdict(record), indent=1) + "\n").encode())


def read_record(file: Path) -> Record:
    """Return the record that `write_record` wrote.

    Raises:
        ConfigError: the file is not a record, or has another format.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot be read as a record: {first_line(error)}", location=str(file), remedy=AGAIN
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        has = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ConfigError(f"is not a record of format {FORMAT} (format: {has!r})", location=str(file), remedy=AGAIN)
    fields = {field.name: field.type for field in dataclasses.fields(Record)}
    if wrong := sorted(fields.keys() ^ content.keys()):
        raise ConfigError(f"is not a record: {', '.join(wrong)} missing or unknown", location=str(file), remedy=AGAIN)
    if wrong := [name for name, type_ in fields.items() if not _has_type(content[name], type_)]:
        raise ConfigError(f"is not a record: {', '.join(wrong)} of the wrong type", location=str(file), remedy=AGAIN)
    if not content["curve"] or content["asked"].get("protocol") not in content["metrics"]:
        raise ConfigError(
            "is not a record: it holds no epoch, or not the metrics asked for", location=str(file), remedy=AGAIN
        )
    return Record(**content)


def _has_type(value: Any, type_: Any) -> bool:
    """Return whether `value` has the outermost type.

    Of `dict[str, int]` that is `dict`.
    """
    origin = get_origin(type_)
    return isinstance(value, origin if origin in (dict, list) else type_)
