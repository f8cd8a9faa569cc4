"""`akyolo bench`: how fast and how large our operators are, beside plain convolutions and the released method."""

import argparse
import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from akyolo.checks import COUNTING, Numbers, check_number
from akyolo.cli.stdout import stdout_to_stderr
from akyolo.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from akyolo.bench.measure import Row, Variant

SUMMARY = "measure the speed and memory of operators or whole models, side by side"
SIDES = Numbers(whole=True, at_least=64, multiple_of=32)  # pixels of an image

OPS_HELP = """\
AKConv in each of the six places where YOLOv8n downsamples, beside the paper's four gathers, torchvision's
deform_conv2d, and the plain Conv 3x3 that it replaces. All run interleaved in one process, with offsets of 2 pixels
(standard deviation); equal maths is checked first. Ratios are to the faster of the plain convolution's two memory
formats. Memory is beyond the inputs and weights at its peak, and the activations kept for the backward pass.

With --op DeformConv or ModulatedDeformConv: its 3x3 as our sampler does it, beside torchvision's deform_conv2d.
"""

MODEL_HELP = """\
One training step (forward, loss, backward, optimizer) and inference (fused, no gradients) of each model on random
images, interleaved in one process. Ratios are to the first model.
"""

DEFAULT_MODELS = ("yolov8n.yaml", "cfg/yolov8n-akconv5.yaml")
# YOLOv8n at 640 pixels: input channels, output channels, height and width of the input
LAYERS = ((16, 32, 320), (32, 64, 160), (64, 128, 80), (128, 256, 40), (64, 64, 80), (128, 128, 40))
OPS = ("AKConv", "DeformConv", "ModulatedDeformConv")
DTYPES = ("float32", "bfloat16", "float16")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    raw = argparse.RawDescriptionHelpFormatter
    ops = actions.add_parser("ops", help="an operator by layer", description=OPS_HELP, formatter_class=raw)
    ops.add_argument("--op", default="AKConv", help=f"{', '.join(OPS)} (default AKConv)")
    ops.add_argument("--num-param", type=int, metavar="N", help="taps of AKConv's kernel (default 5)")
    model = actions.add_parser("model", help="whole models", description=MODEL_HELP, formatter_class=raw)
    model.add_argument("models", nargs="*", default=[*DEFAULT_MODELS], metavar="MODEL", help="YAML or weights")
    for action in (ops, model):
        action.add_argument("--batch", type=int, default=4, help="images (default 4)")
        action.add_argument("--imgsz", type=int, default=640, help="pixels of a side, a multiple of 32 (default 640)")
        action.add_argument("--rounds", type=int, default=10, help="counted runs of each variant (default 10)")
        action.add_argument("--threads", type=int, help="CPU threads (default: what torch takes)")
        action.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
        action.add_argument("--dtype", default="float32", help=f"{', '.join(DTYPES)}; 16 bits by autocast")
        action.add_argument("--json", action="store_true", help="print JSON alone on stdout")


def run(options: argparse.Namespace) -> None:
    """Measure, and print.

    Raises:
        AkyoloError: an option, device or model that cannot be used.
    """
    from akyolo.bench.layer_variants import REFERENCES
    from akyolo.bench.measure import summarise

    device, dtype = _checked(options)
    of_ops = options.action == "ops"
    if of_ops:
        _check_op(options.op, options.num_param)
    measured = _ops(options, device, dtype) if of_ops else _models(options, device, dtype)
    references = REFERENCES[options.op] if of_ops else {"first": options.models[:1]}
    rows: list[Row] = []
    with _threads(options.threads) as threads, stdout_to_stderr() if options.json else nullcontext():
        about = _about(options, device, threads)
        for found in measured:
            if not rows and not options.json:
                print(", ".join(f"{key} {value}" for key, value in about.items()))
            rows += found
            if not options.json:
                print(_table(found), flush=True)
    summary = summarise(rows, references)
    if options.json:
        print(json.dumps({**about, "rows": rows, "summary": summary}, indent=2))
    else:
        print(_summary_table(summary))


def _checked(options: argparse.Namespace) -> "tuple[torch.device, torch.dtype]":
    import torch

    for name in ("batch", "rounds", "threads"):
        value = getattr(options, name)
        if value is not None:
            check_number(f"{value}", value, COUNTING, error=ConfigError, location=f"--{name}")
    check_number(f"{options.imgsz}", options.imgsz, SIDES, error=ConfigError, location="--imgsz")
    if options.dtype not in DTYPES:
        raise ConfigError(f"unknown {options.dtype!r}", location="--dtype", remedy=did_you_mean(options.dtype, DTYPES))
    try:
        device = torch.device(options.device)
    except RuntimeError:
        raise ConfigError(
            f"unknown {options.device!r}", location="--device", remedy="use cpu, cuda or cuda:N"
        ) from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"{device} is not supported here", location="--device", remedy="use cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        have = torch.cuda.device_count()
        raise ConfigError(f"there is no {device}: {have} CUDA devices", location="--device", remedy="use cpu")
    return device, getattr(torch, options.dtype)


def _check_op(op: str, num_param: int | None) -> None:
    if op not in OPS:
        raise ConfigError(f"cannot measure {op!r}", location="--op", remedy=did_you_mean(op, OPS))
    if op != "AKConv" and num_param is not None:
        raise ConfigError(f"{op} has no such argument", location="--num-param", remedy="leave it out")


def _about(options: argparse.Namespace, device: "torch.device", threads: int) -> dict[str, Any]:
    import torch

    name = f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
    settings = {"batch": options.batch, "imgsz": options.imgsz, "rounds": options.rounds}
    return {"device": name, "threads": threads, "torch": torch.__version__, "dtype": options.dtype, **settings}


@contextmanager
def _threads(threads: int | None) -> Iterator[int]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def _ops(options: argparse.Namespace, device: "torch.device", dtype: "torch.dtype") -> "Iterator[list[Row]]":
    """The rows of one layer and pass after the other."""
    import torch

    from akyolo.bench.layer_variants import PLAIN, check_equal, format_of, layer_variants
    from akyolo.bench.measure import FORWARD, FORWARD_BACKWARD, forward, forward_backward, measure

    torch.manual_seed(0)
    for c1, c2, side_at_640 in LAYERS:
        side = side_at_640 * options.imgsz // 640
        x = torch.randn(options.batch, c1, side, side, device=device)
        modules = layer_variants(options.op, c1, c2, x, options.num_param)
        check_equal(modules, x)
        inputs = {name: x.to(dtype, memory_format=format_of(name)) for name in modules}
        for of, prepare in ((FORWARD, forward), (FORWARD_BACKWARD, forward_backward)):
            variants = {name: prepare(module, inputs[name], dtype) for name, module in modules.items()}
            yield measure(f"{c1}-{c2} at {side}", of, variants, PLAIN, options.rounds, device)


def _models(options: argparse.Namespace, device: "torch.device", dtype: "torch.dtype") -> "Iterator[list[Row]]":
    """The rows of inference, then of training."""
    import torch

    from akyolo.bench.measure import measure

    torch.manual_seed(0)
    networks = {name: _network(name) for name in options.models}
    images = torch.rand(options.batch, 3, options.imgsz, options.imgsz, device=device)
    for of, prepare in (("inference", _inference), ("training step", _training)):
        variants = {
            name: prepare(copy.deepcopy(network).to(device), images, dtype) for name, network in networks.items()
        }
        yield measure("model", of, variants, options.models[:1], options.rounds, device)


def _network(name: str) -> Any:
    """A detection model by the name of its YAML or weights."""
    from torch import nn

    from akyolo import YOLO

    try:
        yolo: Any = YOLO(name)
    except FileNotFoundError:
        raise ConfigError(f"there is no model {name!r}", remedy="give a model YAML or weights (.pt)") from None
    if not isinstance(yolo.model, nn.Module):
        raise ConfigError(f"{name} is an export", remedy="give a model YAML or weights (.pt)")
    if yolo.task != "detect":
        raise ConfigError(f"{name} is a model for {yolo.task}", remedy="only detection models can be measured")
    network: Any = yolo.model.float()
    if isinstance(network.args, dict):  # the loss reads attributes, as a trainer provides them
        network.args = argparse.Namespace(**network.args)
    return network


def _inference(network: Any, images: "Tensor", dtype: "torch.dtype") -> "Variant":
    from akyolo.bench.measure import forward, spread_offsets

    spread_offsets(network.eval(), images)
    return forward(network.fuse(verbose=False), images, dtype)


def _training(network: Any, images: "Tensor", dtype: "torch.dtype") -> "Variant":
    import torch

    from akyolo.bench.measure import Variant, autocast, spread_offsets, state_of

    spread_offsets(network.train(), images)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(".dfl" not in name)  # as upstream trains, whatever the checkpoint says
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    # a rate of zero costs the same, and the work does not drift from round to round
    optimizer = torch.optim.SGD(learned, lr=0.0, momentum=0.937, nesterov=True)
    batch = {"img": images, **_labels(len(images), len(network.names), images.device)}

    def step() -> None:
        with autocast(images.device, dtype):
            loss, _ = network(batch)
        loss.sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    return Variant(step, state_of(network))


def _labels(images: int, classes: int, device: "torch.device", per_image: int = 8) -> "dict[str, Tensor]":
    """Random boxes, cxcywh_norm, in upstream's batch format."""
    import torch

    boxes = images * per_image
    return {
        "batch_idx": torch.arange(images, device=device).repeat_interleave(per_image).float(),
        "cls": torch.randint(classes, (boxes, 1), device=device).float(),
        "bboxes": torch.rand(boxes, 4, device=device) * 0.4 + 0.3,
    }


def _table(rows: "Sequence[Row]") -> str:
    """The variants of one layer in one pass."""
    title = f"{rows[0]['layer']}, {rows[0]['pass']}"
    lines = ["", f"{title:<36}{'median ms':>10}{'IQR ms':>9}{'ratio':>8}{'peak MiB':>10}{'kept MiB':>10}"]
    for row in rows:
        peak, kept = row["peak_bytes"] / 2**20, row["kept_bytes"] / 2**20
        times = f"{row['median_ms']:>10.2f}{row['iqr_ms']:>9.2f}{row['ratio']:>8.2f}"
        lines.append(f"  {row['variant']:<34}{times}{peak:>10.1f}{kept:>10.1f}")
    return "\n".join(lines)


def _summary_table(summary: "Mapping[str, Mapping[str, Mapping[str, float]]]") -> str:
    """Over all layers: sums and geometric means; "-" where a pass keeps nothing."""
    lines = []
    for of, variants in summary.items():
        columns = list(dict.fromkeys(key for values in variants.values() for key in values))
        heads = [_head(column) for column in columns]
        lines += ["", f"{'in all, ' + of:<36}" + "".join(f"{head:>19}" for head in heads)]
        for name, values in variants.items():
            lines.append(f"  {name:<34}" + "".join(f"{_cell(column, values.get(column)):>19}" for column in columns))
    return "\n".join(lines)


def _head(column: str) -> str:
    for key, head in (("geomean_ratio_to_", "time / "), ("kept_ratio_to_", "kept / ")):
        column = column.replace(key, head)
    return {"sum_ms": "sum ms", "kept_bytes": "kept MiB"}.get(column, column)


def _cell(column: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / 2**20:.1f}" if column == "kept_bytes" else f"{value:.2f}"
