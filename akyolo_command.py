"""Start the command `akyolo`. It lies outside the package because importing that takes seconds.

From its first line on, Ctrl-C ends the process with exit code 130 and without a traceback. A pipe whose reader has left
(`akyolo train --help | head -3`) ends it with exit code 141, as it ends git, cat and grep.

`python -m akyolo_command MODULE ...` does the same for another module with a `main`, e.g. the run of a table.
"""

import os

try:
    import importlib
    import io
    import signal
    import stat
    import sys
    from types import FrameType
    from typing import Any, NoReturn
except KeyboardInterrupt:
    os._exit(130)

INTERRUPTED = 130  # 128 + SIGINT, what a shell reports of a process that Ctrl-C ended
READER_LEFT = 141  # 128 + SIGPIPE, likewise
STREAMS = ("stdout", "stderr")


class Pipe(io.FileIO):
    """A pipe to write to, which ends the process when its reader has left.

    It raises at each write, in case one is in a thread or in a finalizer. SystemExit also passes the `except Exception`
    of loggers, which would print a traceback for each further line. To let SIGPIPE end the process would be shorter,
    but a connection of torch or Ray that breaks would then end it too.
    """

    def write(self, data: Any) -> int:
        """Write `data`; exit with code 141 if nobody can read it."""
        try:
            return super().write(data)
        except BrokenPipeError:
            raise SystemExit(READER_LEFT) from None  # no subclass: threads report those


def main() -> None:
    """Run the command line."""
    run("akyolo.cli")


def run(module: str) -> None:
    """Import `module` and call its `main`, quiet when interrupted or when nobody reads the output."""
    _end_at_ctrl_c()
    _watch_pipes()
    try:
        command = importlib.import_module(module).main
        if signal.getsignal(signal.SIGINT) is _end:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on there may be files to finish
        _call(command)
    finally:
        _end_at_ctrl_c()  # the interpreter would print a traceback while it shuts down
        _drop_unread_output()


def _call(command: Any) -> None:
    """Call `command` and flush; a failed flush is reported only if nothing else is."""
    try:
        command()
    except SystemExit as stop:
        if stop.code:
            raise
    for name in STREAMS:
        if stream := getattr(sys, name):
            stream.flush()


def _end_at_ctrl_c() -> None:
    """End the process at Ctrl-C, unless it ignores it (`nohup`, `&` in a script)."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def _end(_signal: int, _frame: FrameType | None) -> NoReturn:
    """End now: KeyboardInterrupt in the middle of an import may become any other error."""
    os._exit(INTERRUPTED)


def _watch_pipes() -> None:
    """Put a Pipe under stdout and stderr where they are pipes; terminals and files stay as they are."""
    sys.unraisablehook = _unraisable
    for name in STREAMS:
        stream = getattr(sys, name)
        if stream is None or stream is not getattr(sys, f"__{name}__"):
            continue  # closed, or replaced already
        mode = os.fstat(stream.fileno()).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            stream.flush()
            pipe = Pipe(stream.fileno(), "w", closefd=False)
            io.TextIOWrapper.__init__(  # the same object: under `python -m akyolo` a logger may hold it already
                stream,
                pipe if stream.write_through else io.BufferedWriter(pipe),
                encoding=stream.encoding,
                errors=stream.errors,
                line_buffering=stream.line_buffering,
                write_through=stream.write_through,
            )


def _unraisable(problem: "sys.UnraisableHookArgs") -> None:
    """Report an exception in a finalizer, unless it is that of an unread output."""
    if not (isinstance(problem.exc_value, SystemExit) and problem.exc_value.code == READER_LEFT):
        sys.__unraisablehook__(problem)


def _drop_unread_output() -> None:
    """Send what is left for a reader who has left to nowhere, or the interpreter complains of it at its end."""
    for name in STREAMS:
        stream = getattr(sys, name)
        try:
            if stream:
                stream.flush()
        except SystemExit:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    run(sys.argv.pop(1))
