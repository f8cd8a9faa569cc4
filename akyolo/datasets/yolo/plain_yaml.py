"""Read YAML that holds only values."""

from pathlib import Path
from typing import Any

import yaml

from akyolo.errors import DatasetError


class _PlainLoader(yaml.SafeLoader):
    """A loader that refuses repeated keys.

    YAML would silently take the last one.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping without repeated keys."""
        keys: set[Any] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge":
                name = self.construct_object(key, deep=True)
                if isinstance(name, str | int) and name in keys:
                    raise yaml.constructor.ConstructorError(None, None, f"{name!r} is there twice", key.start_mark)
                keys.add(name if isinstance(name, str | int) else id(key))
        return super().construct_mapping(node, deep)


def read_plain_yaml(file: Path, *, refuse: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read the mapping in a YAML file.

    A tag that would build a Python object is an error.

    Args:
        file: the file.
        refuse: keys of the top level that must be empty, because their values would be run as programs.

    Raises:
        DatasetError: The file cannot be read or is not such YAML; the error names file and line.
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
        raise DatasetError(f"not plain YAML: {error.problem or error.context}", location=location) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: dates such as 2001-99-99
        raise DatasetError(f"not plain YAML: {str(error).splitlines()[0]}", location=str(file)) from error
    if not isinstance(node, yaml.MappingNode):
        raise DatasetError("is not a mapping of keys to values", location=str(file))
    lines = {key.value: key.start_mark.line + 1 for key, _ in node.value if isinstance(key, yaml.ScalarNode)}
    for name in refuse:
        if data.get(name):
            raise DatasetError(
                f"{name!r} is refused: it would be run as a program, or fetched",
                location=f"{file}:{lines.get(name) or lines['<<']}",  # "<<": a mapping that is merged
                remedy="Remove the key; `akyolo data prepare` downloads data sets, and checks what it gets.",
            )
    return data
