"""`akyolo bench`: print speed and memory."""

import argparse
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import torch

from akyolo.bench.layer_variants import REFERENCES
from akyolo.bench.measure import Row, summarise
from akyolo.bench.run import BenchSettings, measure_layers, measure_models, use_threads
from akyolo.checks import COUNTING, Numbers, check_number
from akyolo.cli.stdout import stdout_to_stderr
from akyolo.errors import ConfigError, did_you_mean

SUMMARY = "measure the speed and memory of operators or whole models, side by side"
SIDES = Numbers(whole=True, at_least=64, multiple_of=32)  # pixels of an image

OPS_HELP = """\
Measure AKConv in each of the six layers where YOLOv8n downsamples, and compare it with the paper's method (four
gathers), with torchvision's deform_conv2d, and with the plain Conv 3x3 that it replaces. All variants run interleaved
in one process, with offsets of 2 pixels (standard deviation), after a check that they compute the same. Ratios are to
the faster of the plain convolution's two memory formats. Memory is the peak beyond inputs and weights, and the
activations saved for the backward pass.

With --op DeformConv or ModulatedDeformConv, its 3x3 on akyolo's sampler is compared with torchvision's deform_conv2d.
"""

MODEL_HELP = """\
Measure one training step (forward, loss, backward, optimizer) and inference (fused, no gradients) of each model on
random images, interleaved in one process. Ratios are to the first model.
"""

DEFAULT_MODELS = ("yolov8n.yaml", "cfg/yolov8n-akconv5.yaml")
DTYPES = ("float32", "bfloat16", "float16")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add `ops` and `model` with their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    raw = argparse.RawDescriptionHelpFormatter
    ops = actions.add_parser("ops", help="an operator by layer", description=OPS_HELP, formatter_class=raw)
    ops.add_argument("--op", default="AKConv", help=f"{', '.join(REFERENCES)} (default AKConv)")
    ops.add_argument("--num-param", type=int, metavar="N", help="taps of AKConv's kernel (default 5)")
    model = actions.add_parser("model", help="whole models", description=MODEL_HELP, formatter_class=raw)
    model.add_argument("models", nargs="*", default=[*DEFAULT_MODELS], metavar="MODEL", help="YAML or weights")
    for action in (ops, model):
        action.add_argument("--batch", type=int, default=4, help="images (default 4)")
        action.add_argument("--imgsz", type=int, default=640, help="pixels of a side, a multiple of 32 (default 640)")
        action.add_argument("--rounds", type=int, default=10, help="counted runs of each variant (default 10)")
        action.add_argument("--threads", type=int, help="CPU threads (default: as torch chooses)")
        action.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
        action.add_argument("--dtype", default="float32", help=f"{', '.join(DTYPES)}; 16 bits by autocast")
        action.add_argument("--json", action="store_true", help="print JSON alone on stdout")


def run(options: argparse.Namespace) -> None:
    """Measure and print tables, or JSON.

    Raises:
        AkyoloError: an option, device or model that cannot be used.
    """
    settings = _settings(options)
    if options.action == "ops":
        _check_op(options.op, options.num_param)
        measured, references = measure_layers(options.op, options.num_param, settings), REFERENCES[options.op]
    else:
        measured, references = measure_models(options.models, settings), {"first": options.models[:1]}
    rows: list[Row] = []
    with use_threads(options.threads), stdout_to_stderr() if options.json else nullcontext():
        facts = settings.describe()
        for block in measured:
            if not rows and not options.json:
                print(", ".join(f"{key} {value}" for key, value in facts.items()))
            rows += block
            if not options.json:
                print(_table(block), flush=True)
    summary = summarise(rows, references)
    if options.json:
        print(json.dumps({**facts, "rows": rows, "summary": summary}, indent=2))
    else:
        print(_summary_table(summary))


def _settings(options: argparse.Namespace) -> BenchSettings:
    """Return the options as values."""
    for name in ("batch", "rounds", "threads"):
        value = getattr(options, name)
        if value is not None:
            check_number(f"{value}", value, COUNTING, error=ConfigError, location=f"--{name}")
    check_number(f"{options.imgsz}", options.imgsz, SIDES, error=ConfigError, location="--imgsz")
    if options.dtype not in DTYPES:
        raise ConfigError(f"unknown {options.dtype!r}", location="--dtype", remedy=did_you_mean(options.dtype, DTYPES))
    dtype = getattr(torch, options.dtype)
    return BenchSettings(options.batch, options.imgsz, options.rounds, _device(options.device), dtype)


def _device(name: str) -> torch.device:
    """Return a device that this machine has."""
    remedy = "use cpu, cuda or cuda:N"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"unknown {name!r}", location="--device", remedy=remedy) from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"{device} is not supported here", location="--device", remedy=remedy)
    number = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= number:
        raise ConfigError(f"there is no {device}: {number} CUDA devices", location="--device", remedy="use cpu")
    return device


def _check_op(op: str, num_param: int | None) -> None:
    """Refuse an operator that cannot be measured.

    Only AKConv has taps for --num-param.
    """
    if op not in REFERENCES:
        raise ConfigError(f"cannot measure {op!r}", location="--op", remedy=did_you_mean(op, REFERENCES))
    if op != "AKConv" and num_param is not None:
        raise ConfigError(f"{op} has no such argument", location="--num-param", remedy="leave it out")


def _table(rows: Sequence[Row]) -> str:
    """Return a table of one layer and pass."""
    title = f"{rows[0]['layer']}, {rows[0]['pass']}"
    lines = ["", f"{title:<36}{'median ms':>10}{'IQR ms':>9}{'ratio':>8}{'peak MiB':>10}{'kept MiB':>10}"]
    for row in rows:
        peak, kept = row["peak_bytes"] / 2**20, row["kept_bytes"] / 2**20
        times = f"{row['median_ms']:>10.2f}{row['iqr_ms']:>9.2f}{row['ratio']:>8.2f}"
        lines.append(f"  {row['variant']:<34}{times}{peak:>10.1f}{kept:>10.1f}")
    return "\n".join(lines)


def _summary_table(summary: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Return a table over all layers.

    It has sums and geometric means.
    """
    lines = []
    for pass_name, variants in summary.items():
        columns = list(dict.fromkeys(key for values in variants.values() for key in values))
        headings = [_heading(column) for column in columns]
        lines += ["", f"{'in all, ' + pass_name:<36}" + "".join(f"{heading:>19}" for heading in headings)]
        for name, values in variants.items():
            lines.append(f"  {name:<34}" + "".join(f"{_cell(column, values.get(column)):>19}" for column in columns))
    return "\n".join(lines)


def _heading(column: str) -> str:
    """Return the heading of a column."""
    for key, heading in (("geomean_ratio_to_", "time / "), ("kept_ratio_to_", "kept / ")):
        column = column.replace(key, heading)
    return {"sum_ms": "sum ms", "kept_bytes": "kept MiB"}.get(column, column)


def _cell(column: str, value: float | None) -> str:
    """Return a value as text, bytes in MiB."""
    if value is None:
        return "-"
    return f"{value / 2**20:.1f}" if column == "kept_bytes" else f"{value:.2f}"
