"""Where a kernel's taps stand. Points are (y, x) in pixels of the input map, pixel centres at integers."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from akyolo.checks import FINITE, check_choice, check_whole, is_flag
from akyolo.errors import RowError

Point = tuple[float, float]
Shape = str | Sequence[Sequence[float]]

# The five initial shapes of size 5 that AKConv's authors released (arXiv 2311.11587, Fig. 4).
NAMED_SHAPES: dict[str, tuple[Point, ...]] = {
    "a": ((0, 0), (0, 2), (1, 1), (2, 0), (2, 2)),
    "b": ((0, 0), (0, 1), (0, 2), (1, 0), (1, 2)),
    "c": ((0, 0), (0, 1), (0, 2), (0, 3), (1, 2)),
    "d": ((0, 0), (1, 1), (2, 2), (3, 3), (4, 4)),
    "e": ((0, 0), (1, 1), (1, 2), (1, 3), (2, 0)),
}


def algorithm1(num_param: int) -> tuple[Point, ...]:
    """Initial coordinates of `num_param` taps: rows of round(sqrt(N)), the last one shorter (AKConv, Algorithm 1)."""
    base = round(math.sqrt(num_param))
    return tuple((float(n // base), float(n % base)) for n in range(num_param))


def regular_grid(kernel_size: int, dilation: int = 1, padding: int | None = None) -> tuple[Point, ...]:
    """The k x k taps (y, x) of a plain convolution, row by row, relative to the output position times the stride.

    `padding` is how far the first tap stands above and left of that; by default dilation*(k - 1) // 2, which centres
    the kernel (an even one has its extra tap below and right).
    """
    before = dilation * (kernel_size - 1) // 2 if padding is None else padding
    taps = [float(dilation * u - before) for u in range(kernel_size)]
    return tuple((y, x) for y in taps for x in taps)


def pad_if_even(x: Tensor, kernel_size: int, dilation: int = 1) -> Tensor:
    """Give an even kernel the row and column of zeros that its extra tap needs.

    A convolution or pooling of padding dilation*(k - 1)//2 then stands on x (B, C, H, W) as `regular_grid` does, and
    its output is (ceil(H/stride), ceil(W/stride)) for any kernel_size.
    """
    return F.pad(x, (0, 1, 0, 1)) if dilation * (kernel_size - 1) % 2 else x


def initial_shape(num_param: int, shape: Shape | None = None) -> tuple[Point, ...]:
    """The initial taps of a kernel, one (y, x) per tap, relative to the output position times the stride.

    Args:
        num_param: the number of taps N, at least 1.
        shape: None for Algorithm 1, the name of a released shape, or N points (y, x), floats allowed.

    Raises:
        RowError: N is no positive integer, the name is unknown, or the points are not N pairs of finite numbers.

    Example:
        >>> from akyolo import initial_shape
        >>> initial_shape(5)  # Algorithm 1: rows of 2, the last one shorter
        ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (2.0, 0.0))
        >>> initial_shape(2, [[-0.5, 0], [0.5, 0]])
        ((-0.5, 0.0), (0.5, 0.0))
    """
    check_whole(num_param=num_param)
    if shape is None:
        return algorithm1(num_param)
    points = _named(shape) if isinstance(shape, str) else _listed(shape)
    if len(points) != num_param:
        raise RowError(f"shape has {len(points)} points, but num_param={num_param}", remedy="give one point per tap")
    return points


def _named(name: str) -> tuple[Point, ...]:
    check_choice(NAMED_SHAPES, shape=name)
    return NAMED_SHAPES[name]


def _listed(points: Sequence[Sequence[float]]) -> tuple[Point, ...]:
    try:
        if any(is_flag(v) or isinstance(v, str) for pair in points for v in pair):
            raise TypeError
        pairs = tuple((float(y), float(x)) for y, x in points)
    except (TypeError, ValueError):
        raise RowError(f"shape={points!r} is no list of points", remedy="write [[y, x], ...] in pixels") from None
    if not all(v in FINITE for pair in pairs for v in pair):
        raise RowError(f"shape={points!r} holds a coordinate that is not finite")
    return pairs


def kernel_positions(offset: Tensor, shape: Sequence[Point], stride: int) -> Tensor:
    """Absolute tap positions: (i*s, j*s) + shape[n] + offset[n] (AKConv, eq. 1 and section 3.2).

    Args:
        offset: (B, 2N, h, w), N rows (y) then N columns (x), in pixels.
        shape: N points (y, x).
        stride: pixels of the input between neighbouring outputs.

    Returns:
        (B, N, h, w, 2) in pixels (y, x), in at least float32: half precision cannot hold a coordinate above 256.
    """
    dtype = torch.promote_types(offset.dtype, torch.float32)
    h, w = offset.shape[-2:]
    rows, columns = (torch.arange(length, device=offset.device, dtype=dtype) * stride for length in (h, w))
    taps = torch.tensor(list(shape), device=offset.device, dtype=dtype)
    # y and x as two maps each, the taps side by side: the order in which `sample` reads them
    moved = rearrange(offset.to(dtype), "b (yx n) h w -> yx b h w n", yx=2).unbind(0)
    y = moved[0] + (rows[:, None, None] + taps[:, 0])
    x = moved[1] + (columns[:, None] + taps[:, 1])
    return rearrange(torch.stack((y, x)), "yx b h w n -> b n h w yx")
