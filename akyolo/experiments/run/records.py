"""The record of a run: one JSON file, written whole when the run is over."""

import dataclasses
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin

from akyolo.errors import ConfigError, first_line
from akyolo.files import AtomicPath

FORMAT = 1
AGAIN = "remove the folder of this run, and the same command makes it anew"


@dataclass(frozen=True)
class Record:
    """One row of a table, trained with one seed and evaluated.

    Args:
        table: of the spec.
        row: its name there.
        seed: of the training.
        asked: what the spec says of the row: base, swap, data, recipe, settings, protocol, evaluation; and `stated`,
            what its table had there before the command changed it.
        settings: every training argument as it was used, without the paths of this machine.
        batch: images of a step; less than asked for where upstream halved it, out of CUDA memory.
        images: trained on and validated on, by split.
        labels: SHA-256 over the label files, see `akyolo.upstream.evaluation.dataset`.
        params: of the model as it is deployed, see `akyolo.cost`.
        gflops: of the same, for one image of the training's size.
        metrics: by protocol, by the names of its program; fractions, of best.pt, None where it measured nothing.
        curve: one entry an epoch: `epoch`, `seconds`, and what upstream's results.csv says, metrics by our names.
        starts: one entry a start of the training process: `epoch` that it began at, `date`, and, up to its last
            checkpoint, `seconds`, `cpu_seconds` (this process only), `peak_bytes` and `hardware`.
        seconds: of training, all starts together.
        cpu_seconds: of the same.
        peak_bytes: the most memory of a start: what CUDA allocated at once, on CPU the resident set of the process.
        versions: of akyolo, ultralytics, torch and python.
        hardware: of its evaluation: device, cpu, cores, threads, gpu.
        date: when it was over.
        format: of this file.
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
        """Median over the epochs, validation included."""
        return float(statistics.median(epoch["seconds"] for epoch in self.curve))


def write_record(file: Path, record: Record) -> None:
    """Write it as a whole."""
    AtomicPath(file).write_bytes((json.dumps(dataclasses.asdict(record), indent=1) + "\n").encode())


def read_record(file: Path) -> Record:
    """Read what `write_record` wrote.

    Raises:
        ConfigError: it is no record, or of another format.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot be read as a record: {first_line(error)}", location=str(file), remedy=AGAIN
        ) from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        has = found.get("format") if isinstance(found, dict) else type(found).__name__
        raise ConfigError(f"is no record of format {FORMAT} (format: {has!r})", location=str(file), remedy=AGAIN)
    fields = {field.name: field.type for field in dataclasses.fields(Record)}
    if wrong := sorted(fields.keys() ^ found.keys()):
        raise ConfigError(f"is no record: {', '.join(wrong)} missing or unknown", location=str(file), remedy=AGAIN)
    if wrong := [name for name, kind in fields.items() if not _is(found[name], kind)]:
        raise ConfigError(f"is no record: {', '.join(wrong)} of the wrong type", location=str(file), remedy=AGAIN)
    if not found["curve"] or found["asked"].get("protocol") not in found["metrics"]:
        raise ConfigError(
            "is no record: it holds no epoch, or not the metrics asked for", location=str(file), remedy=AGAIN
        )
    return Record(**found)


def _is(value: Any, kind: Any) -> bool:
    """By the outermost type: `dict` for `dict[str, int]`."""
    origin = get_origin(kind)
    return isinstance(value, origin if origin in (dict, list) else kind)
