"""Measure and compare the time and memory of steps.

The method: all variants run in one process, in rounds. Every round runs each variant once, and starts one variant
further than the round before, so that a slow minute of the machine affects all variants alike. The first rounds are not
counted. A time is a median with its interquartile range; a ratio is between medians of the same rounds. The clock stops
when the device has finished. The gradient given to `backward` has the memory format of the output.
"""

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypedDict

import torch
from torch import Tensor, nn

from akyolo.layers import OffsetConv

FORWARD, FORWARD_BACKWARD = "forward", "forward+backward"

Step = Callable[[], object]
# Written as a call, because `pass` is a keyword of Python.
Row = TypedDict(
    "Row",
    {
        "layer": str,
        "variant": str,
        "pass": str,
        "median_ms": float,
        "iqr_ms": float,
        "ratio": float,
        "peak_bytes": int,
        "kept_bytes": int,
    },
)


@dataclass(frozen=True)
class Variant:
    """A step that can be repeated and measured.

    Args:
        step: the call that is measured.
        state: parameters and buffers, which do not count as saved activations.
    """

    step: Step
    state: tuple[Tensor, ...] = ()


def measure(
    layer: str,
    pass_name: str,
    variants: Mapping[str, Variant],
    reference: Sequence[str],
    rounds: int,
    device: torch.device,
) -> list[Row]:
    """Measure the variants of one layer.

    Args:
        layer: the name of the layer in the rows.
        pass_name: the pass that the steps do, such as `forward`.
        variants: at least one, by name.
        reference: names of variants; ratios are to the fastest of them.
        rounds: counted rounds, at least 1.
        device: where the steps run.

    Returns:
        One row per variant: milliseconds, bytes.
    """
    seconds = interleave({name: v.step for name, v in variants.items()}, rounds, synchroniser(device))
    medians = {name: median_and_iqr(times) for name, times in seconds.items()}
    best = min(medians[name][0] for name in reference)
    return [
        {
            "layer": layer,
            "variant": name,
            "pass": pass_name,
            "median_ms": 1e3 * medians[name][0],
            "iqr_ms": 1e3 * medians[name][1],
            "ratio": medians[name][0] / best,
            "peak_bytes": peak_bytes(variant.step, device),
            "kept_bytes": kept_bytes(variant.step, variant.state),
        }
        for name, variant in variants.items()
    ]


def interleave(
    steps: Mapping[str, Step],
    rounds: int,
    synchronise: Callable[[], object],
    warm_up: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Return the seconds of steps in each round.

    The steps run interleaved.

    Args:
        steps: by name, at least one.
        rounds: counted rounds.
        synchronise: waits until the device has finished.
        warm_up: rounds before the counted ones.
        clock: returns the time in seconds.

    Example:
        >>> from akyolo.bench.measure import interleave
        >>> seconds = interleave({"sum": lambda: sum(range(10))}, rounds=3, synchronise=lambda: None)
        >>> len(seconds["sum"])
        3
    """
    names = list(steps)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(warm_up + rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            synchronise()
            start = clock()
            steps[name]()
            synchronise()
            elapsed = clock() - start
            if number >= warm_up:
                seconds[name].append(elapsed)
    return seconds


def synchroniser(device: torch.device) -> Callable[[], object]:
    """Return the function that waits for the device."""
    return (lambda: torch.cuda.synchronize(device)) if device.type == "cuda" else (lambda: None)


def median_and_iqr(values: Sequence[float]) -> tuple[float, float]:
    """Return the median and the interquartile range.

    Quartiles are interpolated linearly between values. The range of a single value is 0.

    Example:
        >>> from akyolo.bench.measure import median_and_iqr
        >>> median_and_iqr([5.0, 1.0, 4.0, 2.0, 3.0])
        (3.0, 2.0)
    """
    if len(values) == 1:
        return values[0], 0.0
    lower, middle, upper = statistics.quantiles(values, n=4, method="inclusive")
    return middle, upper - lower


def peak_bytes(step: Step, device: torch.device) -> int:
    """Return the peak memory of a step.

    Its inputs and weights do not count.
    """
    gc.collect()
    if device.type != "cuda":
        return _cpu_peak_bytes(step)
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _cpu_peak_bytes(step: Step) -> int:
    """Return the peak memory of a step on a CPU.

    It is what torch's allocator gives to the step, buffers inside operators included. Memory that a library allocates
    without torch does not count.
    """
    with torch.autograd.profiler.profile(profile_memory=True) as profiler:
        step()
    events = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def kept_bytes(step: Step, state: Iterable[Tensor] = ()) -> int:
    """Return the bytes of a step's saved activations.

    They are what its forward pass saves for the backward pass.

    Each storage counts once. The input counts. The step may include the backward pass: what a checkpointed part
    recomputes there does not count, but what the part needs for it does.

    Args:
        step: a forward pass, with or without its backward pass.
        state: parameters and buffers, which do not count.
    """
    own = {tensor.untyped_storage().data_ptr() for tensor in state}
    # A reference to each storage keeps its address from being reused by another one.
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        in_backward = torch._C._current_graph_task_id() >= 0  # a recomputation, which saves nothing
        if not in_backward and storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(storage.nbytes() for storage in kept.values())


def forward(module: nn.Module, x: Tensor, dtype: torch.dtype = torch.float32) -> Variant:
    """Return a step of inference, without gradients.

    Args:
        module: what is measured; put in evaluation mode.
        x: its input (B, C, H, W).
        dtype: float32, or a 16-bit type for autocast.
    """
    module.eval()

    def step() -> None:
        with torch.no_grad(), autocast(x.device, dtype):
            module(x)

    return Variant(step, state_of(module))


def forward_backward(module: nn.Module, x: Tensor, dtype: torch.dtype = torch.float32) -> Variant:
    """Return a step of training.

    It is as inside a network.

    The step computes the gradients of all parameters of the module and of x.

    Args:
        module: what is measured; put in training mode.
        x: its input (B, C, H, W).
        dtype: float32, or a 16-bit type for autocast.
    """
    module.train()
    x = x.detach().requires_grad_()
    leaves = [x, *module.parameters()]
    with autocast(x.device, dtype):
        gradient = torch.randn_like(module(x)).detach()  # with the strides of the output

    def step() -> None:
        with autocast(x.device, dtype):
            y = module(x)
        torch.autograd.grad(y, leaves, gradient)

    return Variant(step, state_of(module))


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Return the context of 16-bit training.

    It has no effect for float32.
    """
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def state_of(module: nn.Module) -> tuple[Tensor, ...]:
    """Return the parameters and buffers of a module."""
    return (*module.parameters(), *module.buffers())


def spread_offsets(module: nn.Module, x: Tensor, std: float = 2.0) -> None:
    """Give random weights to offset convolutions.

    The offsets of a new operator are 0: it samples adjacent whole pixels, which is faster than after training.

    Args:
        module: the operator, or a network that holds operators; changed in place.
        x: the input of the module for which the offsets get this spread.
        std: standard deviation of the offsets, in pixels.
    """

    def scale(conv: nn.Module, _: Any, offset: Tensor) -> Tensor:
        factor = std / offset.std().clamp(min=1e-12)
        for parameter in conv.parameters():
            parameter.mul_(factor)
        return offset * factor

    convs = [part for part in module.modules() if isinstance(part, OffsetConv)]
    hooks = [conv.register_forward_hook(scale) for conv in convs]
    try:
        with torch.no_grad():
            for conv in convs:
                nn.init.normal_(conv.weight)
            module(x)
    finally:
        for hook in hooks:
            hook.remove()


def summarise(rows: Iterable[Row], references: Mapping[str, Sequence[str]]) -> dict[str, dict[str, dict[str, float]]]:
    """Summarise rows over their layers.

    Each pass and variant has its own summary.

    Args:
        rows: of any layers and passes, each with all variants.
        references: by label, names of variants. A ratio of times is to the fastest of them in each layer, a ratio of
            saved activations to the one that saves least over all layers.

    Returns:
        {pass: {variant: {"sum_ms", "kept_bytes", "geomean_ratio_to_<label>", "kept_ratio_to_<label>"}}}: sums and
        geometric means over the layers. The last is left out of passes that save nothing.
    """
    passes: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        passes.setdefault(row["pass"], {}).setdefault(row["variant"], []).append(row)
    return {
        pass_name: {name: _summary(own_rows, variants, references) for name, own_rows in variants.items()}
        for pass_name, variants in passes.items()
    }


def _summary(
    own_rows: list[Row], variants: Mapping[str, list[Row]], references: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Return the summary of one variant."""
    kept = _kept_in_all(own_rows)
    summary: dict[str, float] = {"sum_ms": sum(row["median_ms"] for row in own_rows), "kept_bytes": kept}
    for label, names in references.items():
        others = zip(*(variants[name] for name in names), strict=True)
        best = [min(row["median_ms"] for row in layer) for layer in others]
        ratios = [row["median_ms"] / fastest for row, fastest in zip(own_rows, best, strict=True)]
        summary[f"geomean_ratio_to_{label}"] = statistics.geometric_mean(ratios)
        if least := min(_kept_in_all(variants[name]) for name in names):
            summary[f"kept_ratio_to_{label}"] = kept / least
    return summary


def _kept_in_all(rows: Iterable[Row]) -> int:
    """Return the sum of saved activations, in bytes."""
    return sum(row["kept_bytes"] for row in rows)
