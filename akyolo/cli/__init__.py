"""`akyolo COMMAND ...`: upstream's modes with key=value, our own commands with --options."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType

from akyolo.errors import AkyoloError, ConfigError, did_you_mean

MODES = {
    "train": "train a model",
    "val": "evaluate weights",
    "predict": "run on images, videos, folders or streams",
    "track": "follow objects through a video",
    "export": "to ONNX, TorchScript, OpenVINO, ...",
    "tune": "search training arguments",
    "benchmark": "speed and accuracy of the export formats",
}
# name, and the module that has it
COMMANDS = {
    "info": "info",
    "ops": "ops",
    "swap": "swap",
    "compare": "compare",
    "reproduce": "reproduce",
    "bench": "bench",
    "data": "data",
    "score": "score",
    "import": "import_weights",
}

HELP = """akyolo: replaceable convolutions for Ultralytics YOLO

  akyolo train cfg/yolov8n-akconv5.yaml                            on the embedded data set, in minutes
  akyolo train cfg/yolov8s-akconv5.yaml data=mydata.yaml epochs=100
  akyolo val runs/detect/train/weights/best.pt protocol=yolov5
  akyolo predict runs/detect/train/weights/best.pt source=photo.jpg
  akyolo export runs/detect/train/weights/best.pt format=onnx dynamic=True

Modes of Ultralytics: akyolo MODE MODEL key=value ...  (MODE --help lists the keys)
{modes}

Commands of our own: akyolo COMMAND --option value ...  (COMMAND --help)
{commands}

Exit codes: 0 done, 1 the work failed, 2 words or files have to be changed, 130 interrupted (Ctrl-C), 141 the reader of
the output has left (`| head`).
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit as `--help` says; other exceptions are failures of ours."""
    try:
        _dispatch(list(sys.argv[1:] if arguments is None else arguments))
    except AkyoloError as error:
        print(f"akyolo: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if not (error.filename and error.strerror):
            raise
        print(f"akyolo: {error.filename}: the file system refuses: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _dispatch(words: list[str]) -> None:
    if not words or words[0] in {"-h", "--help", "help"}:
        print(_help())
    elif words[0] == "--version":
        from akyolo import __version__

        print(__version__)
    elif words[0] in MODES:
        from akyolo.cli import modes

        modes.run(words[0], words[1:])
    elif words[0] in COMMANDS:
        command = _command(words[0])
        parser = argparse.ArgumentParser(prog=f"akyolo {words[0]}", description=command.SUMMARY)
        command.configure(parser)
        parse = parser.parse_intermixed_args if hasattr(command, "TAKES_PAIRS") else parser.parse_args
        command.run(parse(words[1:]))
    else:
        hint = did_you_mean(words[0], [*MODES, *COMMANDS])
        raise ConfigError(f"unknown command {words[0]!r}", remedy=f"{hint} `akyolo --help` shows how to use them")


def _command(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{COMMANDS[name]}")


def _help() -> str:
    modes = "\n".join(f"  {name:<10} {text}" for name, text in MODES.items())
    commands = "\n".join(f"  {name:<10} {_command(name).SUMMARY}" for name in COMMANDS)
    return HELP.format(modes=modes, commands=commands)
