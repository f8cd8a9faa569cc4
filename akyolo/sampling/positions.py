"""Compute the positions of a kernel's taps.

Points are (y, x) in pixels of the input, with pixel centres at integers.
"""

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
    """Return the initial taps of AKConv's Algorithm 1.

    They fill rows of round(sqrt(N)) taps from the upper left; the last row may be shorter.

    Args:
        num_param: the number of taps N.

    Example:
        >>> from akyolo.sampling.positions import algorithm1
        >>> algorithm1(3)
        ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0))
    """
    base = round(math.sqrt(num_param))
    return tuple((float(n // base), float(n % base)) for n in range(num_param))


def regular_grid(kernel_size: int, dilation: int = 1, padding: int | None = None) -> tuple[Point, ...]:
    """Return the k x k taps of a plain convolution.

    Args:
        kernel_size: side k of the kernel.
        dilation: pixels between neighbouring taps.
        padding: pixels from the output position times the stride to the first tap, upwards and to the left. The default
            dilation*(k - 1) // 2 centres the kernel; an even kernel has its extra tap below and right.

    Returns:
        k*k points (y, x) in pixels, relative to the output position times the stride.

    Example:
        >>> from akyolo.sampling import regular_grid
        >>> regular_grid(2)
        ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))
    """
    before = dilation * (kernel_size - 1) // 2 if padding is None else padding
    taps = [float(dilation * u - before) for u in range(kernel_size)]
    return tuple((y, x) for y in taps for x in taps)


def pad_if_even(x: Tensor, kernel_size: int, dilation: int = 1) -> Tensor:
    """Add the zeros that an even kernel needs.

    With padding dilation*(k - 1)//2, a convolution or pooling of the result has its taps where `regular_grid` has them.
    Its output is (ceil(H/stride), ceil(W/stride)) for any kernel size.

    Args:
        x: (B, C, H, W).
        kernel_size: side k of the kernel.
        dilation: pixels between neighbouring taps.

    Returns:
        (B, C, H+1, W+1) for an even kernel, else x.

    Example:
        >>> import torch
        >>> from akyolo.sampling import pad_if_even
        >>> pad_if_even(torch.ones(1, 1, 4, 5), kernel_size=2).shape
        torch.Size([1, 1, 5, 6])
    """
    return F.pad(x, (0, 1, 0, 1)) if dilation * (kernel_size - 1) % 2 else x


def initial_shape(num_param: int, shape: Shape | None = None) -> tuple[Point, ...]:
    """Return the initial taps of a kernel.

    Args:
        num_param: the number of taps N, at least 1.
        shape: None for Algorithm 1, the name of a released shape, or N points (y, x), floats allowed.

    Returns:
        N points (y, x) in pixels, relative to the output position times the stride.

    Raises:
        RowError: N is not a positive integer, the name is unknown, or the points are not N pairs of finite numbers.

    Example:
        >>> from akyolo import initial_shape
        >>> initial_shape(5)  # Algorithm 1: rows of 2, the last one shorter
        ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (2.0, 0.0))
        >>> initial_shape(2, [[-0.5, 0], [0.5, 0]])
        ((-0.5, 0.0), (0.5, 0.0))

    Source: arXiv 2311.11587, Algorithm 1 and Fig. 4.
    """
    check_whole(num_param=num_param)
    if shape is None:
        return algorithm1(num_param)
    points = _named_shape(shape) if isinstance(shape, str) else _read_points(shape)
    if len(points) != num_param:
        raise RowError(f"shape has {len(points)} points, but num_param={num_param}", remedy="give one point per tap")
    return points


def _named_shape(name: str) -> tuple[Point, ...]:
    check_choice(NAMED_SHAPES, shape=name)
    return NAMED_SHAPES[name]


def _read_points(points: Sequence[Sequence[float]]) -> tuple[Point, ...]:
    try:
        if any(is_flag(v) or isinstance(v, str) for pair in points for v in pair):
            raise TypeError
        pairs = tuple((float(y), float(x)) for y, x in points)
    except (TypeError, ValueError):
        raise RowError(f"shape={points!r} is not a list of points", remedy="write [[y, x], ...] in pixels") from None
    if not all(v in FINITE for pair in pairs for v in pair):
        raise RowError(f"shape={points!r} holds a coordinate that is not finite")
    return pairs


def kernel_positions(offset: Tensor, shape: Sequence[Point], stride: int) -> Tensor:
    """Return the absolute positions of the taps.

    They are (i*s, j*s) + shape[n] + offset[n].

    Args:
        offset: (B, 2N, h, w), N rows (y) then N columns (x), in pixels.
        shape: N points (y, x) in pixels.
        stride: pixels of the input between neighbouring outputs.

    Returns:
        (B, N, h, w, 2) in pixels (y, x), in at least float32: half precision cannot hold a coordinate above 256.

    Example:
        >>> import torch
        >>> from akyolo.sampling import kernel_positions
        >>> kernel_positions(torch.zeros(1, 4, 3, 3), [(0, 0), (0, 1)], stride=2)[0, 1, 2, 1]  # tap 1, output (2, 1)
        tensor([4., 3.])

    Source: arXiv 2311.11587, eq. 1 and section 3.2.
    """
    dtype = torch.promote_types(offset.dtype, torch.float32)
    h, w = offset.shape[-2:]
    rows, columns = (torch.arange(length, device=offset.device, dtype=dtype) * stride for length in (h, w))
    taps = torch.tensor(list(shape), device=offset.device, dtype=dtype)
    # `sample` reads y and x as two tensors in which the taps are the last axis
    offset_y, offset_x = rearrange(offset.to(dtype), "b (yx n) h w -> yx b h w n", yx=2).unbind(0)
    y = offset_y + (rows[:, None, None] + taps[:, 0])
    x = offset_x + (columns[:, None] + taps[:, 1])
    return rearrange(torch.stack((y, x)), "yx b h w n -> b n h w yx")
