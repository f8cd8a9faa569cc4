"""One scan of the same images at a time."""

import hashlib
from typing import Any

from filelock import FileLock
from platformdirs import user_cache_path
from ultralytics.engine.trainer import BaseTrainer


def scan_lock(images: Any) -> FileLock:
    """The lock of this machine's user for the scan of these images."""
    folder = user_cache_path("akyolo", ensure_exists=True)
    return FileLock(folder / f"scan-{hashlib.sha256(str(images).encode()).hexdigest()[:12]}.lock")


class OneScan(BaseTrainer):
    """A trainer that can start beside another on the same data.

    Upstream deletes and rewrites the cache of labels without a lock: of two first starts, one failed.
    """

    def build_dataset(self, img_path: Any, *args: Any, **kwargs: Any) -> Any:
        """As upstream, while nobody else of ours scans `img_path`."""
        with scan_lock(img_path):
            return super().build_dataset(img_path, *args, **kwargs)
