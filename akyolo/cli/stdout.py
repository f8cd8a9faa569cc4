"""Keep stdout for the results of a command."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Redirect stdout to stderr in a `with` block.

    Upstream logs to stdout. Its handlers keep the stream that they started with, so the file descriptor is redirected.
    """
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(stdout, 1)
        os.close(stdout)
