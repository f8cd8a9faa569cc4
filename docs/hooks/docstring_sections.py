"""Lets mkdocstrings read our docstrings: `Example:` holds a session, `Source:` and `Parameters:` hold a line."""

import re
from typing import Any

import griffe

TITLES = {"Example:\n": "Examples:\n"}
LINES = re.compile(r"^(Source|Parameters): ", re.MULTILINE)


class DocstringSections(griffe.Extension):
    """Rewrite the titles before they are parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring:
            text = obj.docstring.value
            for title, read in TITLES.items():
                text = text.replace(f"\n{title}", f"\n{read}")
            obj.docstring.value = LINES.sub(r"**\1**: ", text)
