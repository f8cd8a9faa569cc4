"""Start the command `akyolo`.

This module lies outside the package because importing the package takes seconds.

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

INTERRUPTED = 130  # 128 + SIGINT: a shell reports it of a process that Ctrl-C ended.
READER_LEFT = 141  # 128 + SIGPIPE: a shell reports it of a process whose reader left.
STREAMS = ("stdout", "stderr")


class Pipe(io.FileIO):
    """A pipe that ends the process when its reader has left.

    It raises SystemExit at each write, because a write may happen in a thread or in a finalizer. SystemExit also passes
    the `except Exception` of loggers, which would print a traceback for each further line. Letting SIGPIPE end the
    process would be shorter, but then a broken connection of torch or Ray would end it too.
    """

    def write(self, data: Any) -> int:
        """Write `data`, or exit with code 141.

        Code 141 means that the reader has left.
        """
        try:
            return super().write(data)
        except BrokenPipeError:
            raise SystemExit(READER_LEFT) from None  # Not a subclass: threads report subclasses.


def main() -> None:
    """Run the command line."""
    run("akyolo.cli")


def run(module: str) -> None:
    """Import `module` and call its `main`.

    It is quiet if interrupted, or if the reader of its output has left.
    """
    _end_at_ctrl_c()
    _watch_pipes()
    try:
        command = importlib.import_module(module).main
        if signal.getsignal(signal.SIGINT) is _end:
            signal.signal(
                signal.SIGINT, signal.default_int_handler
            )  # From here on the command may have to finish files.
        _call(command)
    finally:
        _end_at_ctrl_c()  # The interpreter would print a traceback while it shuts down.
        _drop_unread_output()


def _call(command: Any) -> None:
    """Call `command` and flush its output.

    A failed flush is reported only if nothing else is.
    """
    try:
        command()
    except SystemExit as stop:
        if stop.code:
            raise
    for name in STREAMS:
        if stream := getattr(sys, name):
            stream.flush()


def _end_at_ctrl_c() -> None:
    """End the process at Ctrl-C.

    A process that ignores Ctrl-C (`nohup`, `&` in a script) still ignores it.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def _end(_signal: int, _frame: FrameType | None) -> NoReturn:
    """End the process now.

    KeyboardInterrupt in the middle of an import may become any other error.
    """
    os._exit(INTERRUPTED)


def _watch_pipes() -> None:
    """Put a Pipe under stdout and stderr if they are pipes.

    Terminals and files stay as they are.
    """
    sys.unraisablehook = _unraisable
    for name in STREAMS:
        stream = getattr(sys, name)
        if stream is None or stream is not getattr(sys, f"__{name}__"):
            continue  # The stream is closed, or was replaced before.
        mode = os.fstat(stream.fileno()).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            stream.flush()
            pipe = Pipe(stream.fileno(), "w", closefd=False)
            io.TextIOWrapper.__init__(  # The object stays: under `python -m akyolo` a logger may hold it.
                stream,
                pipe if stream.write_through else io.BufferedWriter(pipe),
                encoding=stream.encoding,
                errors=stream.errors,
                line_buffering=stream.line_buffering,
                write_through=stream.write_through,
            )


def _unraisable(problem: "sys.UnraisableHookArgs") -> None:
    """Report an exception in a finalizer.

    That of an output without reader is not reported.
    """
    if not (isinstance(problem.exc_value, SystemExit) and problem.exc_value.code == READER_LEFT):
        sys.__unraisablehook__(problem)


def _drop_unread_output() -> None:
    """Discard the output that has no reader.

    The interpreter would report it as an error at its end.
    """
    for name in STREAMS:
        stream = getattr(sys, name)
        try:
            if stream:
                stream.flush()
        except SystemExit:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    run(sys.argv.pop(1))
