"""SVG of taps, drawn into the page so that it follows the light and the dark palette."""

import math
from collections.abc import Sequence

from taps import Panel

CELL = 28  # px a pixel of the feature map
RADIUS = 7


def figure(name: str, panels: Sequence[Panel]) -> str:
    """Return all panels of an operator as one HTML figure; "" without panels."""
    if not panels:
        return ""
    drawn = "\n".join(_panel(name, panel) for panel in panels)
    return f'<div class="taps">\n{drawn}\n</div>'


def _panel(name: str, panel: Panel) -> str:
    y0, x0, rows, columns = _extent(panel)
    parts = [
        *_cells(rows, columns, panel.scope),
        *([] if panel.scope else [_output(-y0, -x0)]),
        *(part for n in range(len(panel.taps)) for part in _tap(panel, n, y0, x0)),
    ]
    size = f'width="{columns * CELL + 2}" height="{rows * CELL + 2}"'
    view = f'viewBox="-1 -1 {columns * CELL + 2} {rows * CELL + 2}"'
    label = f"Taps of {name}: {panel.caption}"
    svg = f'<svg {size} {view} role="img" aria-label="{label}">{"".join(parts)}</svg>'
    return f"<figure>{svg}<figcaption>{panel.caption}</figcaption></figure>"


def _extent(panel: Panel) -> tuple[int, int, int, int]:
    """Return the first row and column, and the rows and columns, that hold all taps and the output position."""
    if panel.scope:
        return 0, 0, panel.scope, panel.scope
    points = [*panel.taps, *(panel.moved or ()), (0.0, 0.0)]
    (top, bottom), (left, right) = ((min(axis), max(axis)) for axis in zip(*points, strict=True))
    y0, x0 = math.floor(top + 0.1), math.floor(left + 0.1)
    return y0, x0, math.ceil(bottom - 0.1) - y0 + 1, math.ceil(right - 0.1) - x0 + 1


def _cells(rows: int, columns: int, scope: int | None) -> list[str]:
    kind = "scope" if scope else "cell"
    return [
        f'<rect class="{kind}" x="{x * CELL}" y="{y * CELL}" width="{CELL}" height="{CELL}"/>'
        for y in range(rows)
        for x in range(columns)
    ]


def _output(y: int, x: int) -> str:
    return f'<rect class="output" x="{x * CELL + 2}" y="{y * CELL + 2}" width="{CELL - 4}" height="{CELL - 4}"/>'


def _tap(panel: Panel, n: int, y0: int, x0: int) -> list[str]:
    start = _pixel(panel.taps[n], y0, x0)
    if panel.moved is None:
        return [_dot(start, n, panel)]
    end = _pixel(panel.moved[n], y0, x0)
    line = f'<line class="move" x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"/>'
    return [f'<circle class="start" cx="{start[0]:.1f}" cy="{start[1]:.1f}" r="3"/>', line, _dot(end, n, panel)]


def _pixel(point: tuple[float, float], y0: int, x0: int) -> tuple[float, float]:
    """Return the place of a point (y, x) in the SVG as (x, y)."""
    return (point[1] - x0 + 0.5) * CELL, (point[0] - y0 + 0.5) * CELL


def _dot(place: tuple[float, float], n: int, panel: Panel) -> str:
    radius = RADIUS * (math.sqrt(panel.weights[n]) if panel.weights else 1)
    return f'<circle class="tap" cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="{radius:.1f}"/>'
