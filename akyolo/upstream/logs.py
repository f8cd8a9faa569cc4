"""Silence the log of Ultralytics."""

from collections.abc import Iterator
from contextlib import contextmanager

from ultralytics.utils import LOGGER


@contextmanager
def silence() -> Iterator[None]:
    """Log nothing of Ultralytics inside the `with` block."""
    LOGGER.disabled = True
    try:
        yield
    finally:
        LOGGER.disabled = False
