"""Lets mkdocstrings read our docstrings: `Example:` holds a session, `Source:` and `Parameters:` a paragraph."""

import re
from typing import Any

import griffe

TITLES = {"Example:": "Examples:"}
PARAGRAPH = re.compile(r"^(Source|Parameters): (.*?)(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)
SHOWN = {"Parameters": "Number of parameters", "Source": "Source"}  # the arguments are called Parameters there


class DocstringSections(griffe.Extension):
    """Rewrite the titles before they are parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring:
            text = obj.docstring.value
            for title, read in TITLES.items():
                text = text.replace(f"\n{title}\n", f"\n{read}\n")
            obj.docstring.value = PARAGRAPH.sub(_paragraph, text)


def _paragraph(found: re.Match[str]) -> str:
    """Return a paragraph with a bold title, whose formulas Markdown leaves alone."""
    return f"**{SHOWN[found[1]]}**: " + found[2].replace("*", r"\*")
