"""Plain English: short first lines, words of the field, names that say what a value is. See glossary.toml."""

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GLOSSARY = tomllib.loads(Path(__file__).with_name("glossary.toml").read_text(encoding="utf-8"))
EVERYWHERE, IN_CODE = (
    [(re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), better) for pattern, better in GLOSSARY[table].items()]
    for table in ("everywhere", "code")
)
FILES = sorted((ROOT / "akyolo").rglob("*.py"))
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
LONGEST = 12  # words of a first line
OF_SWAPS = {"swapping", "cli", "api.py"}  # there `where` is the place of a swap, as on the command line
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Each docstring with its line."""
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and (doc := ast.get_docstring(node)):
            yield node.body[0].lineno, doc


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Each comment and each text that has a space, docstrings and messages alike, with its line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            for number, line in enumerate(node.value.splitlines()):
                yield node.lineno + number, line


def names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Each name that the file gives to something, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.lineno, node.name


def said(path: Path, line: int, what: str) -> str:
    return f"{path.relative_to(ROOT)}:{line}: {what}"


def test_first_lines_are_short():
    long = [
        said(path, line, f"{len(words)} words: {doc.splitlines()[0]}")
        for path in FILES
        for line, doc in docstrings(ast.parse(path.read_text(encoding="utf-8")))
        if len(words := doc.splitlines()[0].split()) > LONGEST
    ]
    assert not long, "\n".join([f"{len(long)} first lines have more than {LONGEST} words", *long])


def test_texts_have_the_words_of_the_field():
    wrong = []
    for path in [*FILES, *PAGES]:
        text, is_code = path.read_text(encoding="utf-8"), path.suffix == ".py"
        words = [*EVERYWHERE, *IN_CODE] if is_code else EVERYWHERE
        for number, line in texts(text) if is_code else enumerate(text.splitlines(), start=1):
            wrong += [
                said(path, number, f"{match[0]!r}: {use}") for word, use in words for match in word.finditer(line)
            ]
    assert not wrong, "\n".join([f"{len(wrong)} words", *wrong])


def test_names_say_what_a_value_is():
    vague = [
        said(path, line, f"{name}: {GLOSSARY['names'][name]}")
        for path in FILES
        for line, name in names(ast.parse(path.read_text(encoding="utf-8")))
        if name in GLOSSARY["names"] and not (name == "where" and set(path.parts) & OF_SWAPS)
    ]
    assert not vague, "\n".join([f"{len(vague)} names", *vague])
