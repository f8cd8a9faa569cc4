"""Pictures of the architecture: the rooms on their floors as `pyproject.toml` orders them, and the four flows."""

import ast
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
WIDTH = 760
STEP = 46  # px from floor to floor
FLOWS = {
    "row → module": ("model YAML", "lower", "upstream's parser", "fill", "model"),
    "image → boxes": ("image", "letterbox", "layers and head", "NMS", "Results"),
    "archive → labels": ("archive, verified", "reader of a format", "annotations", "counts checked", "labels, json"),
    "paper row → cell": ("cfg/paper/*.yaml", "run, resumable", "record.json", "table", "paper, ours, diff."),
}


def floors() -> list[list[str]]:
    """Return the rooms of the package on each floor, from the ground up."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [[room for room in floor if room != "__main__"] for floor in project["tool"]["akyolo"]["floors"]["akyolo"]]


def rooms_figure() -> str:
    """Return the floors as SVG, the highest on top; an import goes downwards."""
    stack = [floor for floor in reversed(floors()) if floor]
    parts = []
    for number, floor in enumerate(stack):
        width = (WIDTH - 60 - 8 * (len(floor) - 1)) / len(floor)
        for place, room in enumerate(floor):
            parts += _box(50 + place * (width + 8), number * STEP + 4, width, room)
    height = len(stack) * STEP
    arrow = f'<path d="M20 10 V{height - 20}"/><path class="head" d="M14 {height - 22} h12 l-6 12 z"/>'
    label = "The rooms of akyolo on floors: " + "; ".join(", ".join(floor) for floor in stack)
    return _svg(height, label, [arrow, *parts])


def rooms_table() -> str:
    """Return a Markdown table: each room with the first sentence of its docstring."""
    rows = [f"| `{room}` | {_opening(room)} |" for floor in reversed(floors()) for room in floor if _opening(room)]
    return "\n".join(["| room | what it holds |", "|---|---|", *rows])


def flows_figure() -> str:
    """Return the four flows as SVG, one a line."""
    parts = []
    for number, (title, steps) in enumerate(FLOWS.items()):
        top = number * 74
        parts.append(f'<text class="title" x="4" y="{top + 18}">{title}</text>')
        width = (WIDTH - 4 - 20 * (len(steps) - 1)) / len(steps)
        for place, step in enumerate(steps):
            left = 2 + place * (width + 20)
            parts += _box(left, top + 26, width, step)
            if place:
                parts.append(f'<path class="head" d="M{left - 15:.0f} {top + 36} v12 l12 -6 z"/>')
    return _svg(len(FLOWS) * 74, "Four flows: " + "; ".join(FLOWS), parts)


def _box(left: float, top: float, width: float, text: str) -> list[str]:
    rectangle = f'<rect x="{left:.0f}" y="{top:.0f}" width="{width:.0f}" height="34" rx="5"/>'
    size = min(13, 1.75 * (width - 14) / len(text))
    return [rectangle, f'<text x="{left + 8:.0f}" y="{top + 21:.0f}" style="font-size:{size:.1f}px">{text}</text>']


def _svg(height: int, label: str, parts: Sequence[str]) -> str:
    svg = f'<svg class="rooms" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    return f'<div class="wide">{svg}</div>'


def _opening(room: str) -> str:
    """Return the first paragraph of a room's docstring; "" where it has none."""
    file, folder = ROOT / "akyolo" / f"{room}.py", ROOT / "akyolo" / room / "__init__.py"
    path = file if file.exists() else folder
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) if path.exists() else None
    return " ".join((doc or "").split("\n\n")[0].split()).replace("|", "\\|")
