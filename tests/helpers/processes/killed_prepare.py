"""Drives `akyolo data prepare` in processes of its own, kills some, and says as JSON what they left.

A child is killed, by the signal that nobody can catch, when it is about to do its n-th thing to the file system.
"""

import contextlib
import hashlib
import io
import json
import os
import signal
import sys
import time
from pathlib import Path

from akyolo.cli import main
from akyolo.datasets.published.prepare import MANIFEST

ABOUT_FILES = ("os.", "open", "shutil.", "pathlib.")


def command(spec, source, root):
    main(["data", "prepare", str(spec), "--from", str(source), "--root", str(root)])


def tree(root):
    """Names and contents of all that counts, with the folder's own name taken out."""
    return {
        str(one.relative_to(root)): hashlib.md5(one.read_bytes().replace(str(root).encode(), b"ROOT")).hexdigest()
        for one in sorted(root.rglob("*"))
        if one.is_file() and not any(part.startswith(".") for part in one.relative_to(root).parts)
    }


def without_manifest(found):
    return {name: sums for name, sums in found.items() if name not in {MANIFEST, "pins.json"}}


def names(root):
    return sorted(str(one.relative_to(root)) for one in root.rglob("*"))


def in_child(work):
    """Run `work` in a fork of this process, which has all its modules; returns the id."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
    return child


def quietly(*words):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        command(*words)


def killed_at(moment, *words):
    """Whether the kill came before the end."""

    def work():
        count = 0

        def hook(event, arguments):
            nonlocal count
            if event.startswith(ABOUT_FILES) and str(words[2]) in str(arguments):
                count += 1
                if count == moment:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        quietly(*words)

    _, status = os.waitpid(in_child(work), 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def kill(spec, source, folder):
    quietly(spec, source, folder / "reference")
    expected = tree(folder / "reference")
    result = {"kills": 0, "accepted": 0, "halves": [], "different": []}
    moment = 1
    while killed_at(moment, spec, source, root := folder / f"killed{moment:04d}"):
        result["kills"] += 1
        if (root / MANIFEST).exists():
            result["accepted"] += 1
            if tree(root) != expected:
                result["halves"].append(moment)
        elif (root / "data.yaml").exists() and without_manifest(tree(root)) != without_manifest(expected):
            result["halves"].append(moment)  # somebody might train from it: it comes after what it names
        quietly(spec, source, root)
        if tree(root) != expected or [one.name for one in root.glob(".partial*")]:
            result["different"].append(moment)
        moment += 1 if moment < 10 else 2
    return result


def together(spec, source, folder):
    quietly(spec, source, folder / "reference")
    start = time.time() + 0.3

    def starting(number):
        def work():
            with (folder / f"out{number}").open("w") as out, (folder / f"err{number}").open("w") as err:
                time.sleep(max(0, start - time.time()))  # a busy machine may be late already
                with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                    command(spec, source, folder / "shared")

        return work

    for child in [in_child(starting(number)) for number in range(4)]:
        _, status = os.waitpid(child, 0)
        assert status == 0
    return {
        "said": [(folder / f"out{number}").read_text().split()[0] for number in range(4)],
        "left": names(folder / "shared"),
        "alone": names(folder / "reference"),
    }


if __name__ == "__main__":
    job, *paths = sys.argv[1:]
    print(json.dumps({"kill": kill, "together": together}[job](*map(Path, paths))))
