"""Where upstream's messages go."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ultralytics.utils import LOGGER


@contextmanager
def logs_on_stderr() -> Iterator[None]:
    """Leave stdout to our own output, JSON for instance."""
    handlers = [h for h in LOGGER.handlers if isinstance(h, logging.StreamHandler)]
    streams = [h.setStream(sys.stderr) for h in handlers]
    try:
        yield
    finally:
        for handler, stream in zip(handlers, streams, strict=True):
            if stream is not None:
                handler.setStream(stream)
