"""The process of the command, interrupted or with a pipe whose reader has left."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.commands import EVERY

ROOT = Path(__file__).resolve().parents[1]
CONSOLE = ["-c", "from akyolo_command import main; main()"]  # what pip writes into bin/akyolo
# imported at the start of the interpreter, before any code of ours: sends Ctrl-C when a module is about to be imported
AT_IMPORT = """
import os, signal, sys

class Finder:
    def find_spec(name, path=None, target=None):
        if name == os.environ["AT"]:
            sys.meta_path.remove(Finder)
            os.kill(os.getpid(), signal.SIGINT)
            sum(range(1000))  # Python looks for signals between bytecodes

sys.meta_path.insert(0, Finder)
"""
TELLS = """
import os, sys

class Finder:
    def find_spec(name, path=None, target=None):
        if name == "akyolo":
            sys.meta_path.remove(Finder)
            open(os.environ["STARTED"], "w").close()

sys.meta_path.insert(0, Finder)
"""
READER_LEFT = 141


@pytest.fixture
def start(tmp_path):
    """Start the interpreter with more modules on its path, by their source."""

    def run(*words, modules=None, piped=subprocess.PIPE, **environment):
        for name, text in (modules or {}).items():
            (tmp_path / f"{name}.py").write_text(text)
        path = os.pathsep.join([str(tmp_path), str(ROOT)])
        environment = os.environ | {"PYTHONPATH": path, "YOLO_CONFIG_DIR": str(tmp_path)} | environment
        command = [sys.executable, *words]
        return subprocess.Popen(command, stdout=piped, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path)

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", ["akyolo", "akyolo.cli", "torch", "torch.nn", "numpy", "ultralytics", "akyolo.upstream", "akyolo.cli.ops"]
)
def test_ctrl_c_at_an_import_is_130_and_silent(start, module):
    process = start(*CONSOLE, "ops", modules={"sitecustomize": AT_IMPORT}, AT=module)
    assert (*process.communicate(), process.returncode) == ("", "", 130)


@pytest.mark.slow
def test_ctrl_c_at_its_own_imports_is_130_and_silent(start):
    source = (ROOT / "akyolo_command.py").read_text()
    assert source.count("    import importlib\n") == 1
    early = source.replace("    import importlib\n", "    import importlib\n    import early\n")
    modules = {"sitecustomize": AT_IMPORT, "akyolo_command": early}
    process = start(*CONSOLE, "ops", modules=modules, AT="early")
    assert (*process.communicate(), process.returncode) == ("", "", 130)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 0.05, 0.2, 0.5, 1, 2, 4])
def test_ctrl_c_after_some_time_is_130_and_silent(start, tmp_path, seconds):
    started = tmp_path / "started"
    process = start(*CONSOLE, "reproduce", "--static", "--json", modules={"sitecustomize": TELLS}, STARTED=str(started))
    while not started.exists():
        assert process.poll() is None
        time.sleep(0.001)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (out, process.returncode) == ("", 130) and "Traceback" not in err and "KeyboardInterrupt" not in err


@pytest.mark.slow
def test_a_process_that_ignores_ctrl_c_still_does(start):
    """As `nohup` and the `&` of a script start it."""
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); import akyolo_command; akyolo_command.run('m')"
    main = "import os, signal\ndef main():\n    os.kill(os.getpid(), signal.SIGINT)\n    print('went on')\n"
    process = start("-c", code, modules={"m": main})
    assert (*process.communicate(), process.returncode) == ("went on\n", "", 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "code", "error"),
    [
        ("raise RuntimeError('ours')", 1, r"Traceback(.|\n)*RuntimeError: ours\n"),
        ("raise SystemExit(2)", 2, ""),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, ""),
        ("atexit.register(os.kill, os.getpid(), signal.SIGINT)", 130, ""),
    ],
)
def test_how_a_process_ends(start, body, code, error):
    main = f"import atexit, os, signal\ndef main():\n    {body}\n"
    process = start("-m", "akyolo_command", "m", modules={"m": main})
    out, err = process.communicate()
    assert (out, process.returncode) == ("", code) and re.fullmatch(error, err)


# the logger holds the stream that there is when the package is imported
WRITER = """
import logging, os, sys, threading
logging.basicConfig(stream=sys.stdout, level=20)

class Late:
    def __del__(self):
        print("line" * 9999)

def main():
    {body}
"""
# what a command may do with an output that nobody reads
WRITES = {
    "prints much": "for _ in range(100_000): print('line')",
    "prints little": "print('line')",
    "exits with 0": "print('line'); sys.exit(0)",
    "logs": "[logging.info('line') for _ in range(100_000)]",
    "guards": "for _ in range(100_000):\n        try: print('line')\n        except Exception: pass",
    "in a finalizer first": "late = Late(); del late; print('line')",
    "in a thread first": "t = threading.Thread(target=print, args=['line' * 9999]); t.start(); t.join(); print('line')",
}


@pytest.mark.slow
@pytest.mark.parametrize("imports", ["", "import m; "], ids=["console", "module"])
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("body", WRITES.values(), ids=WRITES)
def test_an_output_that_nobody_reads_is_141_and_silent(start, body, unbuffered, imports):
    main = WRITER.format(body=body)
    read, write = os.pipe()
    os.close(read)
    code = f"{imports}import akyolo_command; akyolo_command.run('m')"
    process = start("-c", code, modules={"m": main}, piped=write, PYTHONUNBUFFERED=unbuffered)
    os.close(write)
    assert (process.communicate()[1], process.returncode) == ("", READER_LEFT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "code"),
    [("sys.exit(2)", 2), ("sys.exit(130)", 130), ("os.close(1)", 0), ("raise RuntimeError", 1)],
)
def test_another_exit_code_wins_over_an_unread_output(start, body, code):
    read, write = os.pipe()
    os.close(read)
    main = f"import os, sys\ndef main():\n    {body}\n"
    if code != 0:
        main = main.replace("    ", "    print('line')\n    ", 1)
    process = start("-m", "akyolo_command", "m", modules={"m": main}, piped=write, PYTHONUNBUFFERED="")
    os.close(write)
    process.communicate()
    assert process.returncode == code


@pytest.mark.slow
def test_a_broken_pipe_elsewhere_is_no_exit(start):
    """A connection that breaks is an error of its own."""
    main = "import os\ndef main():\n    r, w = os.pipe()\n    os.close(r)\n    os.write(w, b'x')\n"
    process = start("-m", "akyolo_command", "m", modules={"m": main})
    assert "BrokenPipeError" in process.communicate()[1] and process.returncode == 1


def test_files_and_captured_streams_stay_as_they_are(capsys, monkeypatch):
    import akyolo_command

    before = sys.stdout, sys.stderr
    akyolo_command._watch_pipes()
    assert (sys.stdout, sys.stderr) == before
    monkeypatch.setattr(sys, "stdout", None)
    akyolo_command._watch_pipes()
    assert sys.stdout is None


# in one interpreter, forked for each command: importing torch for each would take a minute
HELPS = """
import json, os, sys
import akyolo_command, akyolo.cli

def ending(words):
    read, write = os.pipe()
    os.close(read)
    heard, said = os.pipe()
    if child := os.fork():
        os.close(said)
        os.close(write)
        with open(heard) as file:
            error = file.read()
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), error
    os.dup2(write, 1)
    os.dup2(said, 2)
    sys.argv = ["akyolo", *words]
    try:
        akyolo_command.main()
    finally:  # as the interpreter ends, without what it does for torch
        code = getattr(sys.exception(), "code", 0)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)

def main():
    print(json.dumps([ending(words) for words in json.loads(os.environ["COMMANDS"])]))
"""


@pytest.mark.slow
def test_the_help_of_every_command_that_nobody_reads(start):
    commands = [[], ["--help"], ["ops"], *([*words, "--help"] for words in EVERY)]
    process = start("-m", "akyolo_command", "helps", modules={"helps": HELPS}, COMMANDS=json.dumps(commands))
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert json.loads(out) == [[READER_LEFT, ""]] * len(commands) and len(commands) > 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "command"),
    [("-m akyolo", "train --help"), ("-m akyolo", "reproduce --static --json --table 1"), ("-m akyolo.cli", "ops")],
)
def test_in_a_real_pipe(tmp_path, form, command):
    line = f"{sys.executable} {form} {command} | head -n 1; echo ${{PIPESTATUS[0]}}"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "YOLO_CONFIG_DIR": str(tmp_path)}
    run = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
    )
    first, code = run.stdout.splitlines()
    assert first and code in {"0", str(READER_LEFT)}  # 0: all was written before `head` left
    assert run.stderr == ""
