"""A file that a command is told to write: checked before any work, written whole, never over another."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from akyolo.errors import ConfigError

if TYPE_CHECKING:
    from akyolo.files import AtomicPath


def new_file(name: str, suffixes: Collection[str], option: str = "-o") -> Path:
    """The path of a file that may be written.

    Raises:
        ConfigError: another suffix, a file that is there already, or a folder that is not.
    """
    out = Path(name)
    if out.suffix not in suffixes:
        raise ConfigError(f"{option} {name} must end in {' or '.join(suffixes)}")
    if os.path.lexists(out):
        raise ConfigError(f"{option} {name} is there already", remedy="name another file, or remove it first")
    if not out.parent.is_dir():
        raise ConfigError(f"{option} {name}: there is no folder {str(out.parent)!r}", remedy="make it first")
    return out


@contextmanager
def writing(out: Path) -> "Iterator[AtomicPath]":
    """The same path, written as a whole.

    Raises:
        ConfigError: the system refuses.
    """
    from akyolo.files import AtomicPath

    try:
        yield AtomicPath(out)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror or error}") from None
