"""Another value for a name of upstream's, for the time of one call."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(module: Any, **names: Any) -> Iterator[None]:
    """Other values for names of a module, for a while."""
    originals = {name: getattr(module, name) for name in names}
    vars(module).update(names)
    try:
        yield
    finally:
        vars(module).update(originals)
