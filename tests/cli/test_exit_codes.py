"""Every command exits with 2 for wrong words, 1 for failures, 130 if interrupted."""

import errno
import os

import pytest

from akyolo.cli import COMMANDS, MODES, main
from tests.helpers.commands import EVERY


def exit_code(*words):
    """Run a command in this process and return its exit code."""
    try:
        main(words)
    except SystemExit as stop:
        return stop.code or 0
    return 0


def test_the_list_has_all_commands():
    assert {words[0] for words in EVERY} == {*MODES, *COMMANDS} and len(EVERY) == len(set(EVERY))
    assert {("data", "import", "voc-xml"), ("data", "prepare"), ("bench", "ops"), ("import", "weights")} <= set(EVERY)


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_help_exits_with_0(capfd, words):
    assert exit_code(*words, "--help") == 0
    out, err = capfd.readouterr()
    assert f"akyolo {words[0]}" in out and err == ""


@pytest.mark.parametrize(
    "bad", [["--no-such-option"], ["--epochs=3"], ["one", "two", "three", "four", "five"]], ids=str
)
@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_a_bad_word_is_2(in_tmp, capfd, words, bad):
    assert exit_code(*words, *bad) == 2
    err = capfd.readouterr().err
    assert "akyolo" in err.splitlines()[-1] or err.startswith("akyolo: ")
    assert "Traceback" not in err and not list(in_tmp.iterdir())


def every_call(monkeypatch, error):
    """Make each command raise `error` once its words are read, and yield a call of each."""

    def refuse(*_, **__):
        raise error

    monkeypatch.setattr("akyolo.cli.modes.run", refuse)
    for module in COMMANDS.values():
        monkeypatch.setattr(module, "configure", lambda parser: None)
        monkeypatch.setattr(module, "run", refuse)
    return [(name,) for name in (*MODES, *COMMANDS)]


def test_ctrl_c_is_130_and_silent(monkeypatch, capfd):
    for words in every_call(monkeypatch, KeyboardInterrupt()):
        assert exit_code(*words) == 130
    assert capfd.readouterr() == ("", "")


def test_a_failure_of_ours_keeps_its_traceback(monkeypatch):
    """The interpreter prints it, and exits with 1."""
    for words in every_call(monkeypatch, RuntimeError("ours")):
        with pytest.raises(RuntimeError, match="ours"):
            main(words)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.ENOTDIR])
def test_a_file_that_the_system_refuses_is_2_for_every_command(monkeypatch, capfd, code):
    for words in every_call(monkeypatch, OSError(code, os.strerror(code), "runs")):
        assert exit_code(*words) == 2
        assert capfd.readouterr().err == f"akyolo: runs: the file system refuses: {os.strerror(code)}\n"


def test_an_error_of_the_system_without_a_file_is_a_failure(monkeypatch):
    for words in every_call(monkeypatch, OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))):
        with pytest.raises(OSError, match="memory"):
            main(words)
