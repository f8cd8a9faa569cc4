"""Sample feature maps bilinearly at any positions.

There are two realisations, which compute the same. On a CPU each sample is a weighted sum of four pixels
(`embedding_bag`). This is several times faster than `grid_sample`, works in pixel coordinates, and saves only its input
and the positions for the backward pass. On other devices, and while a graph is captured (trace, export, compile),
`grid_sample` is used. It works in normalised coordinates, whose rounding may give the left-hand derivative at integer
positions.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from torch.autograd.function import once_differentiable

from akyolo.checks import check_choice
from akyolo.sampling.memory_formats import call_in_format

PADDING_MODES = ("zeros", "border", "official")


def sample(x: Tensor, positions: Tensor, padding_mode: str = "zeros") -> Tensor:
    """Sample `x` bilinearly at any positions.

    Args:
        x: (B, C, H, W), floating point.
        positions: (B, N, h, w, 2), row y then column x, in pixels of x; pixel centres at integers.
        padding_mode: the values outside of x: `zeros`; `border`, the nearest pixel; or `official`, the nearest pixel,
            counted twice for each axis on which a position is outside [0, L-1) (as in the released AKConv).

    Returns:
        (B, C, N, h, w) in the dtype of x. Coordinates and weights are computed in at least float32. A position that is
        not finite gives NaN. The gradient at integer positions is the right-hand derivative (on other devices than a
        CPU, rounding may give the left-hand one). With `border` and `official` it is 0 at the limits 0 and L-1 and
        beyond.

    Raises:
        RowError: an unknown padding_mode.
        ValueError: x is not a floating-point feature map, or the positions are not those of its batch.

    Example:
        >>> import torch
        >>> from akyolo import sample
        >>> x = torch.arange(12.0).reshape(1, 1, 3, 4)
        >>> sample(x, torch.tensor([0.5, 1.0]).reshape(1, 1, 1, 1, 2)).item()  # row 0.5, column 1
        3.0
    """
    check_choice(PADDING_MODES, padding_mode=padding_mode)
    if not captures_a_graph():  # sizes are variables of a graph
        _check_tensors(x, positions)
    positions = positions.to(torch.promote_types(torch.promote_types(x.dtype, positions.dtype), torch.float32))
    bounded = positions if padding_mode == "zeros" else _clamp_to_map(positions, *x.shape[-2:])
    samples = _grid_sample(x, bounded) if _uses_grid_sample(x) else _WeightedSums.apply(x, bounded)
    return samples * _official_weight(positions, x) if padding_mode == "official" else samples


def _check_tensors(x: Tensor, positions: Tensor) -> None:
    """Refuse tensors of other sizes: some would give a wrong result."""
    if x.dim() != 4 or not x.is_floating_point():
        raise ValueError(f"x must be (B, C, H, W) in floating point, not {tuple(x.shape)} in {x.dtype}")
    if positions.dim() != 5 or positions.shape[-1] != 2 or len(positions) != len(x):
        expected = f"({len(x)}, N, h, w, 2), rows then columns"
        raise ValueError(f"positions must be {expected}, not {tuple(positions.shape)}: x has batch size {len(x)}")


def call_in_sampling_format(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Call a function in the fastest memory format.

    It is the format that `sample` reads fastest.

    On a CPU this is `channels_last`; elsewhere it is the format that x has.

    Args:
        function: takes and returns a feature map (B, C, H, W).
        x: (B, C, H, W).

    Returns:
        The result in the memory format of x.
    """
    return call_in_format(function, x, inside=None if _uses_grid_sample(x) else torch.channels_last)


def captures_a_graph() -> bool:
    """Return whether this call is traced, exported or compiled.

    Such a call must not reach a custom autograd function.
    """
    return torch.jit.is_tracing() or torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()


def _uses_grid_sample(x: Tensor) -> bool:
    return captures_a_graph() or x.device.type != "cpu"


class _WeightedSums(torch.autograd.Function):
    """Sample by weighted sums, with zeros outside.

    x (B, C, H, W) and positions (B, N, h, w, 2) give (B, C, N, h, w).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, positions: Tensor) -> Tensor:
        """Sum four rows of the (B*H*W, C) table of pixels."""
        ctx.save_for_backward(x, positions)
        pixels, weights = _four_corners(positions, *x.shape[-2:])
        samples = F.embedding_bag(pixels, _table(x, positions.dtype), per_sample_weights=weights, mode="sum")
        b, n, h, w, _ = positions.shape
        return rearrange(samples.to(x.dtype), "(b h w n) c -> b c n h w", b=b, n=n, h=h, w=w)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Compute the corners again, and return gradients.

        Saving the corners would take more memory than the samples.
        """
        x, positions = ctx.saved_tensors
        rows = rearrange(grad, "b c n h w -> (b h w n) c").to(positions.dtype).contiguous()
        with torch.enable_grad():
            positions = positions.detach().requires_grad_(ctx.needs_input_grad[1])
            pixels, weights = _four_corners(positions, *x.shape[-2:])
        grad_x = grad_positions = None
        if ctx.needs_input_grad[1]:
            products = _products(rows, _table(x, positions.dtype), pixels)
            (grad_positions,) = torch.autograd.grad(weights, positions, products)
        if ctx.needs_input_grad[0]:
            b, _, height, width = x.shape
            table = _scatter(rows, pixels, weights.detach(), b * height * width)
            grad_x = rearrange(table.to(x.dtype), "(b h w) c -> b c h w", b=b, h=height, w=width)
        return grad_x, grad_positions


def _table(x: Tensor, dtype: torch.dtype) -> Tensor:
    return rearrange(x, "b c h w -> (b h w) c").to(dtype)


def _products(rows: Tensor, table: Tensor, pixels: Tensor) -> Tensor:
    """Return the gradients (M, 4) of the weights.

    These are the gradients of the weights.
    """
    numbers = torch.arange(pixels.numel(), dtype=pixels.dtype)
    # autograd calls the same function, but only after a forward pass with its checks
    backward = torch.ops.aten._embedding_bag_per_sample_weights_backward
    return backward(rows, table, pixels.view(-1), numbers[::4].contiguous(), numbers >> 2, 0).view(-1, 4)


def _scatter(rows: Tensor, pixels: Tensor, weights: Tensor, count: int) -> Tensor:
    """Add each row to its four pixels by its weights.

    Rows (M, C) and pixels (M, 4) give (count, C).

    This is a weighted sum again, now one for each pixel, of samples.
    """
    pixels = pixels.view(-1)
    order = pixels.argsort()
    sizes = pixels.bincount(minlength=count)
    starts = (sizes.cumsum(0) - sizes).int()
    samples = (order >> 2).int()
    return F.embedding_bag(
        samples, rows, starts, per_sample_weights=weights.view(-1).index_select(0, order), mode="sum"
    )


def _four_corners(positions: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the four pixels of each position, and their weights.

    Both are (M, 4); a pixel is a row of the table.

    The positions are in the order b, h, w, n.
    """
    y, x = rearrange(positions, "b n h w yx -> yx b h w n")
    (above, above_weight), (below, below_weight) = _two_nearest(y, height)
    (left, left_weight), (right, right_weight) = _two_nearest(x, width)
    image = torch.arange(len(positions), dtype=torch.int32).view(-1, 1, 1, 1) * (height * width)
    above, below = image + above * width, image + below * width
    # arithmetic on an axis of length 2 would be several times slower: the corners are computed one by one
    pixels = torch.stack((above + left, above + right, below + left, below + right), dim=-1)
    weights = (
        above_weight * left_weight,
        above_weight * right_weight,
        below_weight * left_weight,
        below_weight * right_weight,
    )
    return pixels.view(-1, 4), torch.stack(weights, dim=-1).view(-1, 4)


def _two_nearest(p: Tensor, length: int) -> list[tuple[Tensor, Tensor]]:
    """Return the two nearest pixels on one axis.

    Each is (index, weight), with weight 0 outside.
    """
    # infinities become NaN, and far positions become small enough for an index
    p = (p + p.detach() * 0).clamp(-2, length + 1)
    left = p.detach().floor()
    right_weight = p - left
    return [
        (pixel.nan_to_num().clamp_(0, length - 1).int(), weight * ((pixel >= 0) & (pixel < length)))
        for pixel, weight in ((left, 1 - right_weight), (left + 1, right_weight))
    ]


def _grid_sample(x: Tensor, positions: Tensor) -> Tensor:
    """Sample by `grid_sample`, with zeros outside."""
    height, width = x.shape[-2:]
    rows, columns = (
        (p + p * 0).clamp(min=-2).clamp(max=length + 1)
        for p, length in zip(positions.unbind(-1), (height, width), strict=True)
    )
    # grid_sample takes x before y, each from -1 to 1 between the outer edges of the feature map
    grid = torch.stack(((2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1), dim=-1)
    samples = F.grid_sample(x.to(positions.dtype), rearrange(grid, "b n h w xy -> b (n h) w xy"), align_corners=False)
    # at a position that is NaN, grid_sample may return 0
    nan_or_zero = rearrange((positions * 0).sum(-1), "b n h w -> b 1 n h w")
    return (rearrange(samples, "b c (n h) w -> b c n h w", n=positions.shape[1]) + nan_or_zero).to(x.dtype)


def _clamp_to_map(positions: Tensor, height: int, width: int) -> Tensor:
    """Clamp positions to [0, L-1].

    The gradient is 0 at both limits; what is not finite becomes NaN.
    """
    return torch.stack(
        [
            torch.where((p > 0) & (p < length - 1), p, (p.detach() + p.detach() * 0).clamp(min=0).clamp(max=length - 1))
            for p, length in zip(positions.unbind(-1), (height, width), strict=True)
        ],
        dim=-1,
    )


def _official_weight(positions: Tensor, x: Tensor) -> Tensor:
    """Return the factors of the released border weights.

    They are 2 to the number of axes on which a position is outside, (B, 1, N, h, w).

    There both corners of the released code are the same pixel, each with weight 1.
    """
    outside = [(p < 0) | (p >= length - 1) for p, length in zip(positions.unbind(-1), x.shape[-2:], strict=True)]
    return ((1 + outside[0].to(x.dtype)) * (1 + outside[1].to(x.dtype))).unsqueeze(1)
