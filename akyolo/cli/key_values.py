"""`key=value` words, as Ultralytics writes its arguments."""

from collections.abc import Iterable
from typing import Any

from akyolo.errors import ConfigError


def names_and_pairs(words: Iterable[str]) -> tuple[list[str], dict[str, Any]]:
    """The words that are no pair, and the pairs by key, their values read.

    Raises:
        ConfigError: an option, or a pair without key or value.
    """
    from akyolo.upstream.arguments.check import read_value

    names, pairs = [], {}
    for word in words:
        key, is_pair, value = word.partition("=")
        if word.startswith("-"):
            raise ConfigError(f"{word!r} is no key=value", remedy=f"write {word.lstrip('-').partition('=')[0]}=VALUE")
        if not is_pair:
            names.append(word)
        elif not key or not value:
            raise ConfigError(f"{word!r} needs a key and a value", remedy="write key=value, without spaces")
        else:
            pairs[key] = read_value(key, value)
    return names, pairs
