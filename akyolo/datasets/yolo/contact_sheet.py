"""Draw images with their labels on one sheet."""

import colorsys
from pathlib import Path

from PIL import Image, ImageDraw

from akyolo.datasets.formats.annotations import UnusableError, denormalise
from akyolo.datasets.formats.images import thumbnail
from akyolo.datasets.yolo.data_yaml import DataYaml, label_of

COLUMNS, ROWS, SIDE = 6, 4, 240  # numbers of cells, and the side of a cell in pixels


def contact_sheet(data: DataYaml) -> Image.Image:
    """Return a sheet of images with their labels.

    The images are taken from all splits in equal steps. Those that cannot be read are left out.
    """
    images = [image for split in data.images.values() for image in split]
    count = min(COLUMNS * ROWS, len(images))
    selected = [images[step * len(images) // count] for step in range(count)]
    sheet = Image.new("RGB", (COLUMNS * SIDE, -(-len(selected) // COLUMNS) * SIDE), "white")
    for number, image in enumerate(selected):
        try:
            cell = thumbnail(image, SIDE - 4)
        except UnusableError:
            continue
        _draw(cell, _rows(label_of(image)), data.names)
        sheet.paste(cell, (number % COLUMNS * SIDE + 2, number // COLUMNS * SIDE + 2))
    return sheet


def _rows(label: Path) -> list[tuple[int, list[float]]]:
    """Return the label rows that can be drawn.

    The faults of the others are found by `check.findings`.
    """
    rows = []
    for line in label.read_text(encoding="utf-8", errors="replace").splitlines() if label.is_file() else []:
        try:
            class_id, *numbers = map(float, line.split())
            rows.append((int(class_id), numbers))
        except (ValueError, OverflowError):
            continue
    return rows


def _draw(cell: Image.Image, rows: list[tuple[int, list[float]]], names: tuple[str, ...]) -> None:
    """Draw the labels of one image."""
    pen = ImageDraw.Draw(cell)
    for class_id, numbers in rows:
        is_named = 0 <= class_id < len(names)
        hue = class_id * 0.618 % 1 if is_named else 0.0  # the golden ratio keeps neighbouring classes apart
        colour = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, 1, 1))
        if len(numbers) == 4:
            x1, y1, x2, y2 = denormalise((numbers[0], numbers[1], numbers[2], numbers[3]), cell.size)
            corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
        elif len(numbers) >= 6 and len(numbers) % 2 == 0:
            xs, ys = numbers[0::2], numbers[1::2]
            corners = [(x * cell.width, y * cell.height) for x, y in zip(xs, ys, strict=True)]
        else:
            continue
        if all(abs(part) < 1e6 for corner in corners for part in corner):  # infinite and very long lines are left out
            pen.line([*corners, corners[0]], fill=colour, width=2)
            pen.text(corners[0], names[class_id] if is_named else f"{class_id}?", fill=colour)
