"""Read the docstrings of operators and their files."""

import inspect
import re
from types import ModuleType

_ENTRY = re.compile(r"^ {4}(\w+)(?: \(.*?\))?:(.*(?:\n {5,}.*)*)", re.MULTILINE)


def class_doc(module: type) -> str:
    """Return the docstring of the class itself.

    An inherited docstring does not count; without one this is "".
    """
    return inspect.cleandoc(module.__doc__ or "")


def file_doc(file: ModuleType) -> str:
    """Return the docstring of a file, "" without one."""
    return inspect.cleandoc(file.__doc__ or "")


def opening(doc: str) -> str:
    """Return the first paragraph in one line."""
    return _in_one_line(_paragraphs(doc)[0])


def titled(doc: str, title: str) -> str:
    r"""Return the paragraph with a title.

    Args:
        doc: a docstring.
        title: the word before a colon at the start, such as `Paper`.

    Returns:
        The paragraph in one line, without the title; "" if there is none.

    Example:
        >>> from akyolo.cli.docstrings import titled
        >>> titled("Do it.\n\nPaper: A. Author,\n2026.", "Paper")
        'A. Author, 2026.'
    """
    paragraphs = (text for text in _paragraphs(doc) if text.startswith(f"{title}:"))
    return _in_one_line(next(paragraphs, "").removeprefix(f"{title}:"))


def equation(doc: str) -> str:
    """Return the indented paragraphs, "" without any."""
    indented = [text for text in _paragraphs(doc) if all(line.startswith("    ") for line in text.splitlines())]
    return inspect.cleandoc("\n" + "\n".join(indented))


def arguments(doc: str) -> dict[str, str]:
    """Return the meanings of the arguments in `Args:`."""
    section = re.split(r"\n(?=\S)", f"\n{doc}".partition("\nArgs:\n")[2])[0]
    return {name: _in_one_line(meaning) for name, meaning in _ENTRY.findall(section)}


def _paragraphs(doc: str) -> list[str]:
    return re.split(r"\n\s*\n", doc)


def _in_one_line(text: str) -> str:
    return " ".join(text.split())
