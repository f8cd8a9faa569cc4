"""Run `akyolo COMMAND ...`.

Modes of Ultralytics take key=value; our own commands take --options.
"""

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType

from akyolo import __version__
from akyolo.cli import bench, compare, data, import_weights, info, modes, ops, reproduce, score, swap
from akyolo.errors import AkyoloError, ConfigError, did_you_mean

MODES = {
    "train": "train a model",
    "val": "evaluate weights",
    "predict": "run on images, videos, folders or streams",
    "track": "track objects through a video",
    "export": "to ONNX, TorchScript, OpenVINO, ...",
    "tune": "search training arguments",
    "benchmark": "speed and accuracy of the export formats",
}
COMMANDS: dict[str, ModuleType] = {
    "info": info,
    "ops": ops,
    "swap": swap,
    "compare": compare,
    "reproduce": reproduce,
    "bench": bench,
    "data": data,
    "score": score,
    "import": import_weights,
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

Exit codes: 0 done, 1 the work failed, 2 a wrong word or file, which you can change, 130 interrupted (Ctrl-C), 141 the
reader of the output has left (`| head`).
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command, and exit with its code.

    `--help` lists the exit codes.

    Exceptions other than those of users' mistakes are defects of akyolo, and keep their traceback.
    """
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
    """Run the command that the first word names."""
    if not words or words[0] in {"-h", "--help", "help"}:
        print(_help())
    elif words[0] == "--version":
        print(__version__)
    elif words[0] in MODES:
        modes.run(words[0], words[1:])
    elif words[0] in COMMANDS:
        command = COMMANDS[words[0]]
        parser = argparse.ArgumentParser(prog=f"akyolo {words[0]}", description=command.SUMMARY)
        command.configure(parser)
        parse = parser.parse_intermixed_args if hasattr(command, "TAKES_PAIRS") else parser.parse_args
        command.run(parse(words[1:]))
    else:
        hint = did_you_mean(words[0], [*MODES, *COMMANDS])
        raise ConfigError(f"unknown command {words[0]!r}", remedy=f"{hint}; `akyolo --help` describes them")


def _help() -> str:
    """Return the help of `akyolo`."""
    modes = "\n".join(f"  {name:<10} {text}" for name, text in MODES.items())
    commands = "\n".join(f"  {name:<10} {command.SUMMARY}" for name, command in COMMANDS.items())
    return HELP.format(modes=modes, commands=commands)
