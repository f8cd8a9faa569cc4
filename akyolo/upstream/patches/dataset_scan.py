"""The scan of images and labels with which every training begins: one at a time, and without harm.

Upstream's own rewrites JPEGs that it finds odd, runs what a foreign `labels.cache` holds, and trains on whatever is
left of a damaged data set. See `label_cache.py` for the second; the first and the third are mended here. So is what
comes before: of an NDJSON file it makes a data YAML, with whatever keys that file has.
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

MOST_BAD = 0.001
"""The share of images that may be unusable, by themselves or by their labels, before `allow_bad` must be said."""
END_OF_COLOUR = "\x1b[0m"  # upstream puts the split before each message, in blue
_strict: ContextVar[bool] = ContextVar("_strict", default=False)
_CONVERT_NDJSON = converter.convert_ndjson_to_yolo


def install() -> None:
    """Put our scan in the place of upstream's; doing it twice changes nothing."""
    utils.check_image = _check_image
    dataset.load_dataset_cache_file = _load
    dataset.save_dataset_cache_file = _save
    converter.convert_ndjson_to_yolo = _convert_ndjson


@contextmanager
def refusing_bad_data(allowed: bool = False) -> Iterator[None]:
    """While it lasts, a scan that finds too much that is bad is an error, unless that is `allowed`."""
    token = _strict.set(not allowed)
    try:
        yield
    finally:
        _strict.reset(token)


def _check_image(im_file: str) -> tuple[str, tuple[int, int]]:
    """No message, and (height, width) in pixels; nothing is written.

    Raises:
        UnusableError: which upstream lists, leaving the image out.
    """
    width, height = shown_size(Path(im_file))
    return "", (height, width)


async def _convert_ndjson(*args: Any, **kwargs: Any) -> Path:
    """As upstream.

    Raises:
        DatasetError: what it made would be run.
    """
    made: Path = await _CONVERT_NDJSON(*args, **kwargs)
    if made.is_file():
        check_runs_nothing(made)
    return made


def _load(path: Path) -> dict[str, Any]:
    kept = label_cache.load(path)
    _refuse_bad(kept, path)  # from a scan that did not mind
    return kept


def _save(_prefix: str, path: Path, x: dict[str, Any], version: str) -> None:
    _refuse_bad(x, path)
    x["version"] = version  # as upstream's does, for its caller
    try:
        label_cache.save(path, x)
    except (OSError, TypeError) as error:
        LOGGER.warning(f"akyolo: the scan of {path.parent} cannot be kept for the next start: {error}")


def _refuse_bad(scan: dict[str, Any], path: Path) -> None:
    found = scan.get("results", (0, 0))  # grounding data have no counts
    has_labels = "labels" in scan
    bad, total = found[-2:] if has_labels else (found[1], sum(found[:2]))  # of folders: how many are good, and bad
    if not _strict.get() or bad <= MOST_BAD * total:
        return
    named = [message.rpartition(END_OF_COLOUR)[2] for message in scan["msgs"] if "ignoring corrupt" in message]
    more = f"; and {len(named) - 3} more" if len(named) > 3 else ""
    raise DatasetError(
        f"{bad} of {total} images cannot be used: {'; '.join(named[:3])}{more}",
        location=str(path.with_suffix("")),
        remedy=("`akyolo data check data.yaml` lists every fault; " if has_labels else "")
        + "allow_bad=True trains on the rest",
    )


def scan_lock(images: Any, timeout: float | None = None) -> AbstractContextManager[None]:
    """Return the user's lock for the scan of these images.

    Where the cache folder cannot be written, no scan can be kept and shared: nothing is locked.
    """
    folder = user_cache_path("akyolo")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return nullcontext()
    return lock(folder / f"scan-{hashlib.sha256(str(images).encode()).hexdigest()[:12]}.lock", timeout)


class OneScan(BaseTrainer):
    """A trainer that can start beside another on the same data: the second finds what the first has kept."""

    def build_dataset(self, img_path: Any, *args: Any, **kwargs: Any) -> Any:
        """As upstream, while nobody else of ours scans `img_path`."""
        with scan_lock(img_path), refusing_bad_data(bool(self.args.allow_bad)):
            return super().build_dataset(img_path, *args, **kwargs)
