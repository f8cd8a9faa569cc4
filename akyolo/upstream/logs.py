"""Upstream's messages, where they would say too much."""

from collections.abc import Iterator
from contextlib import contextmanager

from ultralytics.utils import LOGGER


@contextmanager
def silence() -> Iterator[None]:
    """Upstream says nothing inside."""
    LOGGER.disabled = True
    try:
        yield
    finally:
        LOGGER.disabled = False
