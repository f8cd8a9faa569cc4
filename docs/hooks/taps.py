"""Where the taps of each operator stand, measured by running it.

On an image whose channels are its own coordinates, with a kernel that picks one tap, an operator returns the position
at which it looked. So a figure shows the operator as it is.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

import akyolo

SIDE = 17  # pixels of the image of coordinates
CENTRE = SIDE // 2  # the output position that is looked at
Taps = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Panel:
    """Taps relative to the output position, in pixels (y, x); `moved` is where learned offsets took them."""

    caption: str
    taps: Taps
    moved: Taps | None = None
    weights: tuple[float, ...] | None = None  # of each tap, from 0 to 1, shown as its area
    scope: int | None = None  # side of the larger kernel that is sampled; taps are then in its cells


def panels(operator: type) -> list[Panel]:
    """Return the panels of an operator's figure; none where nothing is known of its taps."""
    if operator.__name__ in FIGURES:
        return FIGURES[operator.__name__]()
    return [_plain("3 x 3 taps")] if "kernel_size" in inspect.signature(operator).parameters else []


def _coordinates() -> Tensor:
    """Return (1, 2, SIDE, SIDE): of each pixel its row and its column, from the centre."""
    axis = torch.arange(SIDE, dtype=torch.float64) - CENTRE
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"))[None]


def _picks(n: int) -> Tensor:
    """Return (2n, 2, n): output channels 2i and 2i + 1 are the row and the column of tap i."""
    return torch.einsum("ij,ck->icjk", torch.eye(n), torch.eye(2)).permute(0, 1, 3, 2).reshape(2 * n, 2, n).double()


def _at_centre(output: Tensor) -> Taps:
    values = output[0, :, CENTRE, CENTRE].tolist()
    return tuple(zip(values[::2], values[1::2], strict=True))


def _everywhere(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).reshape(1, -1, 1, 1).expand(-1, -1, SIDE, SIDE)


def _example(n: int, size: float = 0.55) -> Taps:
    """Return n offsets that only serve as an example."""
    return tuple((size * math.sin(2.4 * i + 1), size * math.cos(2.4 * i + 1)) for i in range(n))


def _rows_then_columns(offsets: Taps) -> Tensor:
    return _everywhere([y for y, _ in offsets] + [x for _, x in offsets])


def _akconv(n: int, shape: str | None = None, moved: bool = False) -> Taps:
    offsets = _example(n) if moved else ((0.0, 0.0),) * n
    return _at_centre(akyolo.akconv(_coordinates(), _rows_then_columns(offsets), _picks(n)[..., None], shape=shape))


def _akconv_panels() -> list[Panel]:
    sizes = [Panel(f"N = {n}", _akconv(n)) for n in (3, 5, 6, 9)]
    shapes = [Panel(f"shape: {name}", _akconv(5, name)) for name in "abcde"]
    return [*sizes, Panel("N = 5, moved by offsets", _akconv(5), _akconv(5, moved=True)), *shapes]


def _snake(axis: str, steps: Sequence[float] = (0.0,) * 5) -> Taps:
    offsets = tuple((step, step) for step in steps)
    return _at_centre(akyolo.dsconv(_coordinates(), _rows_then_columns(offsets), _picks(5)[..., None], axis=axis))


def _dsconv_panels() -> list[Panel]:
    steps = (0.5, -0.9, 0.0, 0.7, 0.6)
    return [Panel(f"axis: {axis}, offsets added up", _snake(axis), _snake(axis, steps)) for axis in "xy"]


def _deformed(moved: bool = False, kernel_size: int = 3) -> Taps:
    n = kernel_size**2
    offsets = [value for pair in _example(n) for value in pair] if moved else [0.0] * (2 * n)
    weight = _picks(n).reshape(2 * n, 2, kernel_size, kernel_size)
    return _at_centre(akyolo.deform_conv(_coordinates(), _everywhere(offsets), weight))


def _plain(caption: str, weights: tuple[float, ...] | None = None) -> Panel:
    return Panel(caption, _deformed(), weights=weights)


def _mask() -> tuple[float, ...]:
    return tuple(0.5 + 0.4 * math.sin(2.1 * n) for n in range(9))


def _scope(moved: bool) -> Taps:
    """Return where a 3 x 3 kernel is read from its scope of 4 x 4, in cells of the scope."""
    rows, columns = torch.meshgrid(*[torch.arange(4, dtype=torch.float64)] * 2, indexing="ij")
    rotation = [value for pair in _example(9, 0.4) for value in pair] if moved else [0.0] * 18
    kernel = akyolo.deform_kernel(_impulse(), _everywhere(rotation), torch.stack((rows, columns))[:, None])
    # the answer to an impulse is the kernel, turned by half a turn around the impulse
    window = kernel[0, :, CENTRE - 1 : CENTRE + 2, CENTRE - 1 : CENTRE + 2].flip(1, 2).reshape(2, 9)
    return tuple(zip(*window.tolist(), strict=True))


def _impulse() -> Tensor:
    x = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64)
    x[..., CENTRE, CENTRE] = 1
    return x


def _kernel_panels(of_what: str) -> list[Panel]:
    return [Panel(f"kernel in its scope, {of_what}", _scope(False), _scope(True), scope=4)]


def _irregular(channel: int) -> Taps:
    """Return the shape that one of two input channels has after `channel + 1` example steps."""
    grid = _deformed()
    moves = _example(10, 0.35 + 0.1 * channel)[channel:]
    positions = torch.tensor([(y + dy, x + dx) for (y, x), (dy, dx) in zip(grid, moves, strict=False)])
    weight = _picks(9).reshape(18, 2, 3, 3)
    return _at_centre(akyolo.irregular_conv(_coordinates(), positions.double(), weight))


FIGURES: dict[str, Callable[[], list[Panel]]] = {
    "AKConv": _akconv_panels,
    "DSConv": _dsconv_panels,
    "DeformConv": lambda: [Panel("3 x 3, moved by offsets", _deformed(), _deformed(moved=True))],
    "ModulatedDeformConv": lambda: [
        Panel("3 x 3, moved by offsets, weighted by a mask", _deformed(), _deformed(moved=True), _mask())
    ],
    "GlobalDeformKernel": lambda: _kernel_panels("one for each image"),
    "DeformKernel": lambda: _kernel_panels("one for each position"),
    "DeformKernelConv": lambda: [
        *_kernel_panels("one for each position"),
        Panel("taps, moved by offsets", _deformed(), _deformed(moved=True)),
    ],
    "IrregularConv": lambda: [
        Panel(f"input channel {channel}", _deformed(), _irregular(channel)) for channel in range(2)
    ],
    "CondConv": lambda: [_plain("3 x 3, the taps stay; each image mixes its own weights")],
    "RFAConv": lambda: [_plain("3 x 3, the taps stay; attention weights them at each position", _mask())],
}
