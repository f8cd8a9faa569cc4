"""Import weights: `akyolo import weights FILE`.

The YOLOv5 and YOLOv7 repositories wrote them.
"""

import argparse
from pathlib import Path

from akyolo.cli.outputs import new_file, writing
from akyolo.upstream.weights.checkpoint import save_whole
from akyolo.upstream.weights.original_weights import import_weights

SUMMARY = "read weights of the YOLOv5 and YOLOv7 repositories"

WEIGHTS_HELP = """\
Read FILE, a state dict that the YOLOv5 (release 6) or YOLOv7-tiny repository wrote, into the same model of akyolo. Only
tensors are read; no code in FILE runs. Every tensor must fit the model; otherwise nothing is written.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-command `weights`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    weights = actions.add_parser(
        "weights",
        help="a state dict with the names of the original repositories",
        description=WEIGHTS_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    weights.add_argument("file", metavar="FILE", help="the state dict")
    weights.add_argument("--model", metavar="YAML", help="the model it belongs to (default: told by its shapes)")
    weights.add_argument("-o", "--out", metavar="OUT", help="the weights to write (default: FILE's name-akyolo.pt)")


def run(options: argparse.Namespace) -> None:
    """Import weights, write them, print a summary.

    Raises:
        AkyoloError: a file that cannot be read or does not fit, or an output file that exists.
    """
    out = new_file(options.out or f"{Path(options.file).stem}-akyolo.pt", [".pt"])
    imported = import_weights(Path(options.file), options.model)
    with writing(out) as file:
        save_whole({"model": imported.model}, file)
    print(f"{options.file}: {imported.name}, {imported.classes} classes")
    print(f"  {imported.tensors} tensors read; {imported.renamed} tensors of the head were renamed")
    print(f"  written to {out}: akyolo val {out} data=YOUR.yaml")
