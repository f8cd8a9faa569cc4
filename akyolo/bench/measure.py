"""How long a step takes and how much memory it needs, compared fairly.

The method: all variants run in one process, in rounds; every round runs each of them once, and the order moves on by
one from round to round, so that a slow minute of the machine strikes all alike. The first rounds are not counted. A
time is a median with its interquartile range; a ratio is between medians of the same rounds. The clock stops when the
device has finished. The gradient given to `backward` has the memory format of the output.
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
# functional, because `pass` is a keyword
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
    """What is measured: a step that may be repeated, and the parameters and buffers, which do not count as kept."""

    step: Step
    state: tuple[Tensor, ...] = ()


def measure(
    layer: str, of: str, variants: Mapping[str, Variant], reference: Sequence[str], rounds: int, device: torch.device
) -> list[Row]:
    """Time and weigh variants of one layer against the fastest of the `reference` variants.

    Args:
        layer: what the rows are called.
        of: the pass that the steps do.
        variants: at least one, by name.
        reference: names among them.
        rounds: counted rounds, at least 1.
        device: where the steps run.

    Returns:
        One row per variant: milliseconds, bytes.
    """
    seconds = interleave({name: v.step for name, v in variants.items()}, rounds, synchroniser(device))
    middle = {name: median_and_iqr(times) for name, times in seconds.items()}
    best = min(middle[name][0] for name in reference)
    return [
        {
            "layer": layer,
            "variant": name,
            "pass": of,
            "median_ms": 1e3 * middle[name][0],
            "iqr_ms": 1e3 * middle[name][1],
            "ratio": middle[name][0] / best,
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
    """Seconds of each step in each counted round, the device waited for."""
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
    """What waits for the device."""
    return (lambda: torch.cuda.synchronize(device)) if device.type == "cuda" else (lambda: None)


def median_and_iqr(values: Sequence[float]) -> tuple[float, float]:
    """The median, and the distance between the quartiles (linear between values; 0 for a single one)."""
    if len(values) == 1:
        return values[0], 0.0
    lower, middle, upper = statistics.quantiles(values, n=4, method="inclusive")
    return middle, upper - lower


def peak_bytes(step: Step, device: torch.device) -> int:
    """The most memory that a step holds at once, beyond what was allocated before it (its inputs and weights)."""
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
    """From every allocation and release of torch's CPU allocator, buffers inside of operators included.

    What a library allocates by itself, past torch, is not seen.
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
    """What a forward pass keeps for its backward pass: each storage once, the input counted, `state` not.

    The step may include the backward pass. What a checkpointed part recomputes is not kept; what it needs for that is.
    """
    own = {tensor.untyped_storage().data_ptr() for tensor in state}
    # holding the storages, so that none is freed and its address seen again as another
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        in_backward = torch._C._current_graph_task_id() >= 0  # what is recomputed there is not kept
        if not in_backward and storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(storage.nbytes() for storage in kept.values())


def forward(module: nn.Module, x: Tensor, dtype: torch.dtype = torch.float32) -> Variant:
    """Inference by a module: (B, C, H, W), no gradients, evaluation mode."""
    module.eval()

    def step() -> None:
        with torch.no_grad(), autocast(x.device, dtype):
            module(x)

    return Variant(step, state_of(module))


def forward_backward(module: nn.Module, x: Tensor, dtype: torch.dtype = torch.float32) -> Variant:
    """A module in training, inside of a network: gradients of all its parameters and of its input (B, C, H, W)."""
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
    """How upstream trains in 16 bits; nothing for float32."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def state_of(module: nn.Module) -> tuple[Tensor, ...]:
    """Parameters and buffers."""
    return (*module.parameters(), *module.buffers())


def spread_offsets(module: nn.Module, x: Tensor, std: float = 2.0) -> None:
    """Give offset convolutions random weights by which offsets for `x` have this standard deviation, in pixels.

    A new operator looks at whole pixels side by side, which is faster than what it does once it has learned.
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
    """Per pass and variant: geometric means of the ratios over layers, sums, and the kept memory against the same.

    Args:
        rows: of any layers and passes, each with all variants.
        references: label to the variants it stands for, of which the fastest in a layer is meant (for kept memory,
            the one that keeps least in all).

    Returns:
        {pass: {variant: {"sum_ms", "kept_bytes", "geomean_ratio_to_<label>", "kept_ratio_to_<label>"}}}; the last is
        left out of passes that keep nothing.
    """
    passes: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        passes.setdefault(row["pass"], {}).setdefault(row["variant"], []).append(row)
    return {
        of: {name: _summary(mine, variants, references) for name, mine in variants.items()}
        for of, variants in passes.items()
    }


def _summary(
    mine: list[Row], variants: Mapping[str, list[Row]], references: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    kept = _kept(mine)
    summary: dict[str, float] = {"sum_ms": sum(row["median_ms"] for row in mine), "kept_bytes": kept}
    for label, names in references.items():
        others = zip(*(variants[name] for name in names), strict=True)
        best = [min(row["median_ms"] for row in layer) for layer in others]
        ratios = [row["median_ms"] / theirs for row, theirs in zip(mine, best, strict=True)]
        summary[f"geomean_ratio_to_{label}"] = statistics.geometric_mean(ratios)
        if least := min(_kept(variants[name]) for name in names):
            summary[f"kept_ratio_to_{label}"] = kept / least
    return summary


def _kept(rows: Iterable[Row]) -> int:
    return sum(row["kept_bytes"] for row in rows)
