"""Read words of the form `key=value`."""

from collections.abc import Iterable
from typing import Any

from akyolo.errors import ConfigError
from akyolo.upstream.arguments.check import read_value


def names_and_pairs(words: Iterable[str]) -> tuple[list[str], dict[str, Any]]:
    """Separate names from `key=value` pairs.

    Values are read as Ultralytics reads them.

    Returns:
        The names, and the values by key.

    Raises:
        ConfigError: an option, or a pair without key or value.

    Example:
        >>> names_and_pairs(["best.pt", "imgsz=320", "plots=False"])
        (['best.pt'], {'imgsz': 320, 'plots': False})
    """
    names, pairs = [], {}
    for word in words:
        key, is_pair, value = word.partition("=")
        if word.startswith("-"):
            raise ConfigError(f"{word!r} is not key=value", remedy=f"write {word.lstrip('-').partition('=')[0]}=VALUE")
        if not is_pair:
            names.append(word)
        elif not key or not value:
            raise ConfigError(f"{word!r} needs a key and a value", remedy="write key=value, without spaces")
        else:
            pairs[key] = read_value(key, value)
    return names, pairs
