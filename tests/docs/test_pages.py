"""What the pages show is so: their Python runs, their commands are understood, their operators are all operators."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
from ultralytics.utils import DEFAULT_CFG_DICT

import akyolo
from akyolo.cli import COMMANDS, MODES, main
from akyolo.registry import operator, operators

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(<!-- not run: .+ -->\n)?```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TESTED_ELSEWHERE = {"README.md": 1, "add-operator.md": 2}  # the first Python blocks of a page, by test_readme*.py
OF_OUR_MODES = {"model", "recipe", "protocol", "save_dir"}


def blocks(path: Path, language: str) -> list[str]:
    """Return the blocks of one language, without those that the page says are not run."""
    return [
        text for not_run, of, text in FENCE.findall(path.read_text(encoding="utf-8")) if of == language and not not_run
    ]


def python_blocks() -> list:
    return [
        pytest.param(text, id=f"{path.stem}-{number}")
        for path in PAGES
        for number, text in enumerate(blocks(path, "python"))
        if number >= TESTED_ELSEWHERE.get(path.name, 0)
    ]


def commands() -> list:
    """Return every `akyolo ...` that a page shows, as words."""
    lines = [
        (path, line.partition("  #")[0].removeprefix("$ "))
        for path in PAGES
        for language in ("sh", "console")
        for text in blocks(path, language)
        for line in text.splitlines()
    ]
    lines += [
        (path, " ".join(shown.split()))
        for path in PAGES
        for shown in re.findall(r"`(akyolo [a-z][^`]*)`", FENCE.sub("", path.read_text(encoding="utf-8")))
        if re.search("--|=", shown) and not re.search(r"\.\.\.|[A-Z]{4}|\|", shown)
    ]
    return [
        pytest.param(shlex.split(line)[1:], id=f"{path.stem}: {line}") for path, line in lines if line[:7] == "akyolo "
    ]


@pytest.mark.parametrize("text", python_blocks())
def test_python_runs_and_prints_what_its_comments_say(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(text, "page", "exec"), {"__name__": "page"})
    said = re.findall(r"^print\(.*\)  # (.+)$", text, re.MULTILINE)
    lines = printed.getvalue().splitlines()
    assert all(any(words in line for line in lines) for words in said), (said, lines)


@pytest.mark.parametrize("words", commands())
def test_commands_are_understood(words, monkeypatch):
    """Up to what they would do: a mode's keys are known, a command's options parse."""
    if words[0] in MODES:
        keys = {word.partition("=")[0] for word in words[1:] if "=" in word}
        assert keys <= DEFAULT_CFG_DICT.keys() | OF_OUR_MODES
        assert all("=" in word or word[0] != "-" or word == "--help" for word in words[1:])
    else:
        monkeypatch.setattr(COMMANDS[words[0]], "run", lambda options: None)
        main(words)


def test_commands_that_pages_mention_exist():
    shown = {name for path in PAGES for name in re.findall(r"`akyolo ([a-z]+)", path.read_text(encoding="utf-8"))}
    assert {"train", "score"} <= shown <= MODES.keys() | COMMANDS.keys()


def test_the_commands_are_found():
    assert len(commands()) > 40 and len(python_blocks()) >= 4


def test_scripts_of_the_pages_are_there():
    shown = {name for path in PAGES for name in re.findall(r"\bscripts/([a-z-]+)", path.read_text(encoding="utf-8"))}
    assert {"quickstart", "test", "torchrun", "slurm-array"} <= shown
    assert all((ROOT / "scripts" / name).is_file() for name in shown)


def test_files_that_pages_name_are_there():
    shown = {
        name
        for path in PAGES
        for name in re.findall(r"\b((?:cfg|data|runs/records)/[\w./-]+\.(?:yaml|json))\b", path.read_text("utf-8"))
    }
    scaled = {"cfg/yolov8s-akconv5.yaml"}  # the same file in another scale
    assert scaled < shown and all((ROOT / name).is_file() for name in shown - scaled - {"data/yaml"}), shown


def test_our_training_arguments_are_all_listed(capsys):
    main(["train", "--help"])
    ours = set(re.findall(r"^  (\w+)=", capsys.readouterr().out, re.MULTILINE))
    listed = re.findall(
        r"^\| (`.*?`) \|", (ROOT / "docs" / "recipes.md").read_text("utf-8").partition("## Arguments")[2], re.MULTILINE
    )
    names = {name for cell in listed for name in re.findall(r"`(\w+)`", cell)}
    upstream = {"protocol"}  # of val alone
    assert names - upstream <= ours
    assert {"offset_lr", "allow_bad", "nan_recovery", "autoanchor", "obj", "recipe"} <= names


def test_the_architecture_tells_of_every_operator():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert {operator(name).module for name in re.findall(r"\[(\w+)\]\(operators/", text)} == {
        s.module for s in operators()
    }


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 180


def test_the_public_api_is_documented_from_the_package_itself():
    assert re.search(r"^::: akyolo$", (ROOT / "docs" / "api.md").read_text("utf-8"), re.MULTILINE)
    assert set(akyolo.__all__) >= {"AKConv", "akconv", "swap", "count", "score"}
