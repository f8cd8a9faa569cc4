"""`akyolo import weights FILE`: weights of the original YOLOv5 and YOLOv7 repositories, made ready for akyolo."""

import argparse
from pathlib import Path

from akyolo.cli.outputs import new_file, writing

SUMMARY = "read weights of the YOLOv5 and YOLOv7 repositories"

WEIGHTS_HELP = """\
Read FILE, a state dict that the YOLOv5 (release 6) or YOLOv7-tiny repository wrote, into the same model here. Only
tensors are read, no code in FILE runs. Every tensor must find its place; nothing is written otherwise.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The one sub-command so far: weights."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    weights = actions.add_parser(
        "weights",
        help="a state dict with the names of the original repositories",
        description=WEIGHTS_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    weights.add_argument("file", metavar="FILE", help="the state dict")
    weights.add_argument("--model", metavar="YAML", help="the model it is of (default: found by its shapes)")
    weights.add_argument("-o", "--out", metavar="OUT", help="the weights to write (default: FILE's name-akyolo.pt)")


def run(options: argparse.Namespace) -> None:
    """Import, write, report.

    Raises:
        AkyoloError: a file that cannot be read, does not fit, or is there already.
    """
    out = new_file(options.out or f"{Path(options.file).stem}-akyolo.pt", [".pt"])
    from akyolo.files import save
    from akyolo.upstream.weights.original_weights import import_weights

    imported = import_weights(Path(options.file), options.model)
    with writing(out) as file:
        save({"model": imported.model}, file)
    print(f"{options.file}: {imported.name}, {imported.classes} classes")
    print(f"  {imported.tensors} tensors read, each into its place; {imported.renamed} of the head under another name")
    print(f"  written to {out}: akyolo val {out} data=YOUR.yaml")
