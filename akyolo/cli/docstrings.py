"""What an operator's docstrings say of it: those of its class and of its file, each in its own words."""

import inspect
import re
from types import ModuleType

_ENTRY = re.compile(r"^ {4}(\w+)(?: \(.*?\))?:(.*(?:\n {5,}.*)*)", re.MULTILINE)


def class_doc(module: type) -> str:
    """The docstring of the class itself, not one it inherits; "" when there is none."""
    return inspect.cleandoc(module.__doc__ or "")


def file_doc(file: ModuleType) -> str:
    """The header of a file; "" when there is none."""
    return inspect.cleandoc(file.__doc__ or "")


def opening(doc: str) -> str:
    """The first paragraph, in one line."""
    return _in_one_line(_paragraphs(doc)[0])


def titled(doc: str, title: str) -> str:
    """The paragraph that starts with `title` and a colon, without these, in one line; "" when there is none."""
    found = (text for text in _paragraphs(doc) if text.startswith(f"{title}:"))
    return _in_one_line(next(found, "").removeprefix(f"{title}:"))


def equation(doc: str) -> str:
    """The indented paragraphs, line by line; "" when there are none."""
    indented = [text for text in _paragraphs(doc) if all(line.startswith("    ") for line in text.splitlines())]
    return inspect.cleandoc("\n" + "\n".join(indented))


def arguments(doc: str) -> dict[str, str]:
    """Of the section `Args:`, each argument and its meaning."""
    section = re.split(r"\n(?=\S)", f"\n{doc}".partition("\nArgs:\n")[2])[0]
    return {name: _in_one_line(meaning) for name, meaning in _ENTRY.findall(section)}


def _paragraphs(doc: str) -> list[str]:
    return re.split(r"\n\s*\n", doc)


def _in_one_line(text: str) -> str:
    return " ".join(text.split())
