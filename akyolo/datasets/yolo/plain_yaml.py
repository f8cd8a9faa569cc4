"""YAML that holds values and nothing else, read so that a mistake can be named by file and line."""

from pathlib import Path
from typing import Any

import yaml

from akyolo.errors import DatasetError


class _PlainLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As the safe loader."""
        seen: set[Any] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge":
                name = self.construct_object(key, deep=True)
                if isinstance(name, str | int) and name in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{name!r} stands twice", key.start_mark)
                seen.add(name if isinstance(name, str | int) else id(key))
        return super().construct_mapping(node, deep)


def read_plain_yaml(file: Path, *, refuse: tuple[str, ...] = ()) -> dict[str, Any]:
    """The mapping in a YAML file; a tag that would build a Python object is refused like any other mistake.

    Args:
        file: the file.
        refuse: keys of the top level that must hold nothing, because somebody would run it.

    Raises:
        DatasetError: with file and line.
    """
    try:
        text = file.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=_PlainLoader)
        data = yaml.load(text, Loader=_PlainLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"cannot be read: {getattr(error, 'strerror', None) or error}", location=str(file)
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        location = f"{file}:{mark.line + 1}" if mark else str(file)
        raise DatasetError(f"no plain YAML: {error.problem or error.context}", location=location) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: dates such as 2001-99-99
        raise DatasetError(f"no plain YAML: {str(error).splitlines()[0]}", location=str(file)) from error
    if not isinstance(node, yaml.MappingNode):
        raise DatasetError("is no mapping of keys to values", location=str(file))
    lines = {key.value: key.start_mark.line + 1 for key, _ in node.value if isinstance(key, yaml.ScalarNode)}
    for name in refuse:
        if data.get(name):
            raise DatasetError(
                f"{name!r} is refused: it would be run as a program, or fetched",
                location=f"{file}:{lines.get(name) or lines['<<']}",  # of another mapping that is merged into this one
                remedy="Remove the key; `akyolo data prepare` downloads data sets, and checks what it gets.",
            )
    return data
