"""Scan images and labels safely.

Every training starts with a scan. Upstream's rewrites JPEGs that look damaged, unpickles any `labels.cache`, and trains
on the rest of a damaged data set. `label_cache.py` replaces the cache; this file changes the other two. It also checks
the data YAML that upstream writes from an NDJSON file, which has every key of that file.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path
from ultralytics.data import converter, dataset, utils
from ultralytics.engine.trainer import BaseTrainer
from ultralytics.utils import LOGGER

from akyolo.datasets.formats.images import shown_size
from akyolo.errors import DatasetError
from akyolo.files import lock
from akyolo.upstream.arguments.data import check_runs_nothing
from akyolo.upstream.patches import label_cache

MAX_BAD = 0.001  # share of images that cannot be used, or whose labels cannot, without `allow_bad`
END_OF_COLOUR = "\x1b[0m"  # after the split, which upstream writes in blue before each message
_strict: ContextVar[bool] = ContextVar("_strict", default=False)
_CONVERT_NDJSON = converter.convert_ndjson_to_yolo


def install() -> None:
    """Replace upstream's scan; a second call does nothing."""
    utils.check_image = _check_image
    dataset.load_dataset_cache_file = _load
    dataset.save_dataset_cache_file = _save
    converter.convert_ndjson_to_yolo = _convert_ndjson


@contextmanager
def refusing_bad_data(allowed: bool = False) -> Iterator[None]:
    """Refuse a damaged data set in a `with` block.

    Args:
        allowed: refuse nothing.
    """
    token = _strict.set(not allowed)
    try:
        yield
    finally:
        _strict.reset(token)


def _check_image(im_file: str) -> tuple[str, tuple[int, int]]:
    """Return no message, and (height, width) in pixels.

    Nothing is written.

    Raises:
        UnusableError: the image cannot be used; upstream drops it and lists the error.
    """
    width, height = shown_size(Path(im_file))
    return "", (height, width)


async def _convert_ndjson(*args: Any, **kwargs: Any) -> Path:
    """Convert an NDJSON file; check the data YAML.

    Raises:
        DatasetError: the data YAML holds a program.
    """
    data_yaml: Path = await _CONVERT_NDJSON(*args, **kwargs)
    if data_yaml.is_file():
        check_runs_nothing(data_yaml)
    return data_yaml


def _load(path: Path) -> dict[str, Any]:
    """Return a saved scan."""
    scan = label_cache.load(path)
    _refuse_bad(scan, path)  # a training with `allow_bad` may have saved it
    return scan


def _save(_prefix: str, path: Path, x: dict[str, Any], version: str) -> None:
    """Save a scan; upstream names the arguments."""
    _refuse_bad(x, path)
    x["version"] = version  # upstream's caller reads it
    try:
        label_cache.save(path, x)
    except (OSError, TypeError) as error:
        LOGGER.warning(f"akyolo: the scan of {path.parent} cannot be saved for the next training: {error}")


def _refuse_bad(scan: dict[str, Any], path: Path) -> None:
    """Refuse a scan with too many bad images.

    Raises:
        DatasetError: it names the first three.
    """
    counts = scan.get("results", (0, 0))  # grounding data have no counts
    has_labels = "labels" in scan
    bad, total = counts[-2:] if has_labels else (counts[1], sum(counts[:2]))  # folders of images: (good, bad)
    if not _strict.get() or bad <= MAX_BAD * total:
        return
    faults = [message.rpartition(END_OF_COLOUR)[2] for message in scan["msgs"] if "ignoring corrupt" in message]
    more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
    raise DatasetError(
        f"{bad} of {total} images cannot be used: {'; '.join(faults[:3])}{more}",
        location=str(path.with_suffix("")),
        remedy=("`akyolo data check data.yaml` lists every fault; " if has_labels else "")
        + "allow_bad=True trains on the rest",
    )


def scan_lock(images: Any, timeout: float | None = None) -> AbstractContextManager[None]:
    """Return a lock for the scan of images.

    Args:
        images: folder or list of images, as upstream names it.
        timeout: seconds to wait for the lock; None to wait without end.

    Returns:
        A lock between the processes of a user; without a cache folder no scan can be shared, and nothing is locked.
    """
    folder = user_cache_path("akyolo")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return nullcontext()
    return lock(folder / f"scan-{hashlib.sha256(str(images).encode()).hexdigest()[:12]}.lock", timeout)


class OneScan(BaseTrainer):
    """Share one scan between trainers on the same data."""

    def build_dataset(self, img_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Build the data set while no other trainer scans it.

        Args:
            img_path: folder or list of images.
            args: as upstream.
            kwargs: as upstream.
        """
        with scan_lock(img_path), refusing_bad_data(bool(self.args.allow_bad)):
            return super().build_dataset(img_path, *args, **kwargs)
