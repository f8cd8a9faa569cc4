"""`akyolo score`: score stored detections under named protocols."""

import argparse
import dataclasses
import json
from pathlib import Path

from akyolo.cli.stdout import stdout_to_stderr
from akyolo.scoring.protocols import PROTOCOLS
from akyolo.scoring.score import table
from akyolo.upstream.evaluation.score_file import score_file

SUMMARY = "score stored detections under named protocols"
ALL = "all"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add DETECTIONS and the options of `akyolo score`."""
    parser.add_argument("detections", metavar="DETECTIONS", help="detections.npz of a val, or a COCO json of results")
    parser.add_argument(
        "--protocol", default=ALL, metavar="NAME", help="a protocol, or several joined by a comma, or all (default)"
    )
    ground_truth = parser.add_mutually_exclusive_group()
    ground_truth.add_argument("--data", metavar="DATA.yaml", help="the data set, if it has been moved")
    ground_truth.add_argument("--annotations", metavar="GT.json", help="the ground truth as a COCO json")
    parser.add_argument("--json", action="store_true", help="print JSON alone on stdout")


def run(options: argparse.Namespace) -> None:
    """Print the scores as a table or as JSON.

    Raises:
        AkyoloError: the detections or their ground truth cannot be used.
    """
    with stdout_to_stderr():
        names = [name.strip() for name in options.protocol.split(",")]
        names = list(PROTOCOLS) if ALL in names else names
        annotations = Path(options.annotations) if options.annotations else None
        scores = score_file(Path(options.detections), names, options.data, annotations)
    print(json.dumps([dataclasses.asdict(score) for score in scores], indent=1) if options.json else table(scores))
