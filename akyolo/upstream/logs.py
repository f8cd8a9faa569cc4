"""Silence upstream's messages."""

from collections.abc import Iterator
from contextlib import contextmanager

from ultralytics.utils import LOGGER


@contextmanager
def silence() -> Iterator[None]:
    """Suppress upstream's messages in a `with` block."""
    LOGGER.disabled = True
    try:
        yield
    finally:
        LOGGER.disabled = False
