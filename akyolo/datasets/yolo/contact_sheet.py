"""Some images of a data set with their labels drawn in, on one sheet, to see whether boxes are where they belong."""

import colorsys
from pathlib import Path

from PIL import Image, ImageDraw

from akyolo.datasets.formats.annotations import UnusableError, denormalise
from akyolo.datasets.formats.images import thumbnail
from akyolo.datasets.yolo.data_yaml import DataYaml, label_of

COLUMNS, ROWS, SIDE = 6, 4, 240  # cells, and the side of one in px


def contact_sheet(data: DataYaml) -> Image.Image:
    """Images from all over the splits, in equal steps; those that cannot be read are left out."""
    images = [image for split in data.images.values() for image in split]
    wanted = COLUMNS * ROWS
    steps = range(wanted) if len(images) > wanted else range(len(images))
    chosen = [images[step * len(images) // len(steps)] for step in steps]
    sheet = Image.new("RGB", (COLUMNS * SIDE, -(-len(chosen) // COLUMNS) * SIDE), "white")
    for number, image in enumerate(chosen):
        try:
            cell = thumbnail(image, SIDE - 4)
        except UnusableError:
            continue
        _draw(cell, _rows(label_of(image)), data.names)
        sheet.paste(cell, (number % COLUMNS * SIDE + 2, number // COLUMNS * SIDE + 2))
    return sheet


def _rows(label: Path) -> list[tuple[int, list[float]]]:
    """The rows that can be drawn; what is wrong with the others, the check says."""
    rows = []
    for line in label.read_text(encoding="utf-8", errors="replace").splitlines() if label.is_file() else []:
        try:
            kind, *numbers = map(float, line.split())
            rows.append((int(kind), numbers))
        except (ValueError, OverflowError):
            continue
    return rows


def _draw(cell: Image.Image, rows: list[tuple[int, list[float]]], names: tuple[str, ...]) -> None:
    pen = ImageDraw.Draw(cell)
    for kind, numbers in rows:
        known = 0 <= kind < len(names)
        hue = kind * 0.618 % 1 if known else 0.0  # the golden ratio keeps neighbouring classes apart
        colour = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, 1, 1))
        if len(numbers) == 4:
            x1, y1, x2, y2 = denormalise((numbers[0], numbers[1], numbers[2], numbers[3]), cell.size)
            corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
        elif len(numbers) >= 6 and len(numbers) % 2 == 0:
            xs, ys = numbers[0::2], numbers[1::2]
            corners = [(x * cell.width, y * cell.height) for x, y in zip(xs, ys, strict=True)]
        else:
            continue
        if all(abs(part) < 1e6 for corner in corners for part in corner):  # no infinity, no endless line
            pen.line([*corners, corners[0]], fill=colour, width=2)
            pen.text(corners[0], names[kind] if known else f"{kind}?", fill=colour)
