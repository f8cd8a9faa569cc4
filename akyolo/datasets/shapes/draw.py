"""Draw the images of the embedded set.

The shape of an object is the only cue to its class.

The classes come in pairs that are easy to confuse: bar and snake (straight or wavy), cross and star (arms that stay
wide or taper), ring and blob (with a hole or without). Everything else (place, size, rotation, colours, texture) is
drawn before or independently of the class, by the same rules for all classes.

Every image has its own random stream and is drawn in integers: angles are 1/256 turns with cosines in a table, and
OpenCV gets vertices in 1/16 px without anti-aliasing. So an image is the same, pixel for pixel, on every machine.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np

DRAWING = 1
"""Increase it when images change. It is part of the folder name of the set, so that old images are not used."""

SIDES, SIDES_AT = (12, 201), 320
"""Longer sides of objects in pixels, in an image of `SIDES_AT` pixels.

All pairs are ranges: the first value, and one past the last.
"""
OBJECTS = (3, 8)
STROKES = (4, 11)
VERTEX_BITS = 4

TURN = 256
UNIT = 1 << 14
COSINE = np.array([round(UNIT * math.cos(2 * math.pi * step / TURN)) for step in range(TURN)], dtype=np.int64)
"""Cosine of step/256 turns, times `UNIT`. No entry is near a rounding tie: every libm gives the same table."""
SINE = np.roll(COSINE, TURN // 4)

Polygons = list[np.ndarray]


# Outlines are polygons (n, 2) of integer (x, y) in any scale; the caller rotates and fits them.
# What both classes of a pair have in common is drawn from the same range.


def _bar(rng: np.random.Generator) -> Polygons:
    """Return a straight strip."""
    half = int(rng.integers(160, 260))
    return [np.array([(-1000, -half), (1000, -half), (1000, half), (-1000, half)], dtype=np.int64)]


def _snake(rng: np.random.Generator) -> Polygons:
    """Return a winding strip of a bar's size."""
    half, phase, turns = int(rng.integers(160, 260)), int(rng.integers(TURN)), int(rng.integers(5, 8))
    x = np.arange(-1000, 1001, 50, dtype=np.int64)
    wave = SINE[(phase + (x + 1000) * turns * TURN // 8000) % TURN]
    centre, thick = wave * half * 11 // (20 * UNIT), half * 9 // 20
    edges = (np.stack([x, centre - thick], 1), np.stack([x, centre + thick], 1)[::-1])
    return [np.concatenate(edges)]


def _cross(rng: np.random.Generator) -> Polygons:
    """Return four arms of constant width."""
    w = int(rng.integers(200, 301))
    quarter = [(w, w), (w, 1000), (-w, 1000)]
    return [np.array([p for turn in range(4) for p in _quarter_turns(quarter, turn)], dtype=np.int64)]


def _star(rng: np.random.Generator) -> Polygons:
    """Return four arms that taper, with the inner corners of a cross."""
    w = int(rng.integers(200, 301))
    return [np.array([p for turn in range(4) for p in _quarter_turns([(w, w), (0, 1000)], turn)], dtype=np.int64)]


def _quarter_turns(points: list[tuple[int, int]], turns: int) -> list[tuple[int, int]]:
    """Rotate points by quarter turns."""
    for _ in range(turns):
        points = [(-y, x) for x, y in points]
    return points


def _blob(rng: np.random.Generator) -> Polygons:
    """Return a disc with waves of two and three bumps."""
    step = np.arange(0, TURN, 4)
    radius = np.full(len(step), 1000 * UNIT, dtype=np.int64)
    for bumps in (2, 3):
        radius += int(rng.integers(60, 200)) * COSINE[(bumps * step + int(rng.integers(TURN))) % TURN]
    radius //= UNIT
    return [np.stack([radius * COSINE[step] // UNIT, radius * SINE[step] // UNIT], 1)]


def _ring(rng: np.random.Generator) -> Polygons:
    """Return a blob with a similar hole."""
    (outline,) = _blob(rng)
    return [outline, outline * int(rng.integers(400, 600)) // 1000]


OUTLINES: dict[str, Callable[[np.random.Generator], Polygons]] = {
    "bar": _bar,
    "snake": _snake,
    "cross": _cross,
    "star": _star,
    "ring": _ring,
    "blob": _blob,
}


def _mask(outline: Polygons, turn: int, side: int) -> np.ndarray:
    """Return the mask of a rotated outline.

    Args:
        outline: polygons; the second one is a hole.
        turn: the rotation in 1/256 turns.
        side: the side of the square in pixels; the longer side of the shape fills it exactly.

    Returns:
        bool (side, side).
    """
    rotation = np.array([(COSINE[turn], SINE[turn]), (-SINE[turn], COSINE[turn])])
    turned = [polygon @ rotation for polygon in outline]
    low, high = turned[0].min(0), turned[0].max(0)
    span, longest = (side - 1) << VERTEX_BITS, (high - low).max()
    margin = (longest - (high - low)) // 2
    vertices = [(((polygon - low + margin) * span + longest // 2) // longest).astype(np.int32) for polygon in turned]
    mask = np.zeros((side, side), dtype=np.uint8)
    cv2.fillPoly(mask, vertices, 1, lineType=cv2.LINE_8, shift=VERTEX_BITS)
    return mask.astype(bool)


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a background, uint8 (size, size, 3)."""
    cells = int(rng.integers(2, 7))
    coarse = rng.integers(30, 226, (cells, cells, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR_EXACT)
    for _ in range(int(rng.integers(*STROKES))):
        start = rng.integers(0, size, 2)
        steps = rng.integers(-size // 6, size // 6 + 1, (int(rng.integers(1, 5)), 2))
        points = np.concatenate([start[None], start + steps.cumsum(0)]).astype(np.int32)
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        cv2.polylines(image, [points], False, colour, thickness=int(rng.integers(1, 3)), lineType=cv2.LINE_8)
    return image


def _texture(rng: np.random.Generator, behind: np.ndarray) -> np.ndarray:
    """Return a pattern of two colours.

    They are similar to each other and differ from the background.

    Args:
        rng: the random stream of the image.
        behind: the background, uint8 (side, side, 3).

    Returns:
        uint8 (side, side, 3).
    """
    side = len(behind)
    colours = rng.integers(0, 256, (4, 3))
    mean = behind.reshape(-1, 3).sum(0, dtype=np.int64) // side**2
    colour = colours[np.abs(colours - mean).sum(1).argmax()]
    other = np.clip(colour + rng.integers(-60, 61, 3), 0, 255)
    y, x = np.indices((side, side))
    period, (a, b) = int(rng.integers(2, 9)), rng.integers(-2, 3, 2)
    patterns = (
        np.zeros_like(x),
        (a * x + b * y) // period,
        x // period + y // period,
        rng.integers(0, 2, (side, side)),
    )
    pattern = patterns[int(rng.integers(len(patterns)))] % 2
    return np.where(pattern[..., None] == 1, other, colour).astype(np.uint8)


def _slots(rng: np.random.Generator, size: int) -> list[tuple[int, int, int]]:
    """Return disjoint squares, one for each object.

    A square is (x, y, side) in pixels.

    They are drawn before the classes, so that they do not depend on them.
    """
    slots: list[tuple[int, int, int]] = []
    drawn = rng.integers(*SIDES, (int(rng.integers(*OBJECTS)), 2)).min(1) * size // SIDES_AT
    for side in sorted(drawn.tolist(), reverse=True):  # large ones first, since they need the most room
        for x, y in rng.integers(0, size - side + 1, (20, 2)).tolist():
            if all(x + side <= u or u + s <= x or y + side <= v or v + s <= y for u, v, s in slots):
                slots.append((x, y, side))
                break
    return slots


def draw_image(seed: int, index: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one image of the set.

    Args:
        seed: the seed of the set.
        index: the number of the image.
        size: its side in pixels.

    Returns:
        The image, uint8 (size, size, 3), BGR; the boxes, int64 (n, 4), xyxy_px: first pixel of the shape, and one
        past its last; the classes, int64 (n,), numbered as in `OUTLINES`.
    """
    rng = np.random.default_rng([seed, index])
    image = _background(rng, size)
    outlines = list(OUTLINES.values())
    boxes, classes = [], []
    for x, y, side in _slots(rng, size):
        class_id, turn = int(rng.integers(len(outlines))), int(rng.integers(TURN))
        behind = image[y : y + side, x : x + side]
        texture = _texture(rng, behind)
        mask = _mask(outlines[class_id](rng), turn, side)
        behind[mask] = texture[mask]
        columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
        boxes.append((x + columns[0], y + rows[0], x + columns[-1] + 1, y + rows[-1] + 1))
        classes.append(class_id)
    noise = rng.integers(-10, 11, image.shape, dtype=np.int8)
    image = np.clip(image.astype(np.int16) + noise, 0, 255).astype(np.uint8)
    return image, np.array(boxes, dtype=np.int64), np.array(classes, dtype=np.int64)
