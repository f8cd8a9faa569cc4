"""Output files of commands.

They are checked before any work, written whole, and never overwritten.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from akyolo.errors import ConfigError
from akyolo.files import AtomicPath


def new_file(name: str, suffixes: Collection[str], option: str = "-o") -> Path:
    """Return the path of a new file.

    Args:
        name: what the user wrote.
        suffixes: those that the file may have.
        option: which names the file, for messages.

    Raises:
        ConfigError: another suffix, a file that exists, or a folder that does not.
    """
    out = Path(name)
    if out.suffix not in suffixes:
        raise ConfigError(f"{option} {name} must end in {' or '.join(suffixes)}")
    if os.path.lexists(out):
        raise ConfigError(f"{option} {name} already exists", remedy="name another file, or delete it first")
    if not out.parent.is_dir():
        raise ConfigError(f"{option} {name}: there is no folder {str(out.parent)!r}", remedy="create it first")
    return out


@contextmanager
def writing(out: Path) -> Iterator[AtomicPath]:
    """Yield a path that is written whole.

    Raises:
        ConfigError: the operating system refuses to write it.
    """
    try:
        yield AtomicPath(out)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror or error}") from None
