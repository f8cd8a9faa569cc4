"""Replace names of a module for one call."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(module: Any, **names: Any) -> Iterator[None]:
    """Replace names of a module in a `with` block.

    Args:
        module: the module.
        names: new value of each name.

    Example:
        >>> import math
        >>> with replaced(math, pi=3):
        ...     math.pi
        3
    """
    originals = {name: getattr(module, name) for name in names}
    vars(module).update(names)
    try:
        yield
    finally:
        vars(module).update(originals)
