"""Run the benchmarks of `akyolo bench`."""

import argparse
import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from akyolo.bench.layer_variants import PLAIN, check_equal, format_of, layer_variants
from akyolo.bench.measure import (
    FORWARD,
    FORWARD_BACKWARD,
    Row,
    Variant,
    autocast,
    forward,
    forward_backward,
    measure,
    spread_offsets,
    state_of,
)
from akyolo.errors import ConfigError
from akyolo.upstream.model import YOLO

# YOLOv8n at 640 pixels: input channels, output channels, height and width of the input
LAYERS = ((16, 32, 320), (32, 64, 160), (64, 128, 80), (128, 256, 40), (64, 64, 80), (128, 128, 40))
BOXES_PER_IMAGE = 8


@dataclass(frozen=True)
class BenchSettings:
    """What a benchmark is run with.

    Args:
        batch: number of images.
        imgsz: side of the square images in pixels, a multiple of 32.
        rounds: counted runs of each variant.
        device: where the variants run.
        dtype: float32, or a 16-bit type for autocast.
    """

    batch: int
    imgsz: int
    rounds: int
    device: torch.device
    dtype: torch.dtype

    def describe(self) -> dict[str, Any]:
        """Return the settings for a report.

        It also has the threads and the version of torch.
        """
        device = str(self.device)
        if self.device.type == "cuda":
            device = f"{device} ({torch.cuda.get_device_name(self.device)})"
        return {
            "device": device,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "dtype": str(self.dtype).removeprefix("torch."),
            "batch": self.batch,
            "imgsz": self.imgsz,
            "rounds": self.rounds,
        }


@contextmanager
def use_threads(threads: int | None) -> Iterator[None]:
    """Set the CPU threads of torch in a block.

    None changes nothing.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def measure_layers(op: str, num_param: int | None, settings: BenchSettings) -> Iterator[list[Row]]:
    """Yield the rows of each layer and pass.

    Args:
        op: the operator, a key of `layer_variants.REFERENCES`.
        num_param: taps of AKConv; None for its default.
        settings: what the layers are run with.

    Raises:
        RowError: no kernel has so many taps.
        RuntimeError: the variants do not compute the same.
    """
    torch.manual_seed(0)
    for c1, c2, side_at_640 in LAYERS:
        side = side_at_640 * settings.imgsz // 640
        x = torch.randn(settings.batch, c1, side, side, device=settings.device)
        modules = layer_variants(op, c1, c2, x, num_param)
        check_equal(modules, x)
        inputs = {name: x.to(settings.dtype, memory_format=format_of(name)) for name in modules}
        for pass_name, prepare in ((FORWARD, forward), (FORWARD_BACKWARD, forward_backward)):
            variants = {name: prepare(module, inputs[name], settings.dtype) for name, module in modules.items()}
            yield measure(f"{c1}-{c2} at {side}", pass_name, variants, PLAIN, settings.rounds, settings.device)


def measure_models(names: Sequence[str], settings: BenchSettings) -> Iterator[list[Row]]:
    """Yield the rows of inference and of training.

    Args:
        names: YAML or weights of each model; ratios are to the first.
        settings: what the models are run with.

    Raises:
        ConfigError: a model that does not exist or does not detect.
    """
    torch.manual_seed(0)
    networks = {name: detection_network(name) for name in names}
    images = torch.rand(settings.batch, 3, settings.imgsz, settings.imgsz, device=settings.device)
    prepares: dict[str, Callable[[Any, Tensor, torch.dtype], Variant]] = {
        "inference": inference_variant,
        "training step": training_variant,
    }
    for pass_name, prepare in prepares.items():
        variants = {
            name: prepare(copy.deepcopy(network).to(settings.device), images, settings.dtype)
            for name, network in networks.items()
        }
        yield measure("model", pass_name, variants, names[:1], settings.rounds, settings.device)


def detection_network(name: str) -> Any:
    """Return the network of a detection model.

    Args:
        name: its YAML or weights.

    Raises:
        ConfigError: it does not exist, has no layers, or has another task.
    """
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


def inference_variant(network: Any, images: Tensor, dtype: torch.dtype) -> Variant:
    """Return a step of inference.

    The network is fused and has no gradients.
    """
    spread_offsets(network.eval(), images)
    return forward(network.fuse(verbose=False), images, dtype)


def training_variant(network: Any, images: Tensor, dtype: torch.dtype) -> Variant:
    """Return a training step.

    It has forward pass, loss, backward pass and optimizer.
    """
    spread_offsets(network.train(), images)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(".dfl" not in name)  # as upstream trains, whatever the checkpoint says
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    # A learning rate of 0 costs the same, and keeps the weights and so the work of all rounds equal.
    optimizer = torch.optim.SGD(trained, lr=0.0, momentum=0.937, nesterov=True)
    batch = {"img": images, **_random_labels(len(images), len(network.names), images.device)}

    def step() -> None:
        with autocast(images.device, dtype):
            loss, _ = network(batch)
        loss.sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    return Variant(step, state_of(network))


def _random_labels(images: int, classes: int, device: torch.device) -> dict[str, Tensor]:
    """Return random boxes (cxcywh_norm) as upstream batches them."""
    boxes = images * BOXES_PER_IMAGE
    return {
        "batch_idx": torch.arange(images, device=device).repeat_interleave(BOXES_PER_IMAGE).float(),
        "cls": torch.randint(classes, (boxes, 1), device=device).float(),
        "bboxes": torch.rand(boxes, 4, device=device) * 0.4 + 0.3,
    }
