"""Which file a model name means, and which scale."""

import re
from collections.abc import Sequence
from pathlib import Path

from akyolo.errors import RowError

SCALES = "nslmx"
_SCALED = re.compile(rf"^(?P<family>.*?yolov?\d+)(?P<scale>[{SCALES}])(?P<rest>.*)$")
_FAMILY = re.compile(r"^(?P<family>yolov?\d+)(?P<rest>)$")  # all scales, as Ultralytics names the file


def find_model_yaml(name: str, packaged: Path) -> tuple[Path | None, str]:
    """Find a model YAML: the path as given, else the same name with any scale letter beside it, else in `packaged`.

    Args:
        name: what the user wrote, e.g. `cfg/yolov8s-akconv5.yaml`.
        packaged: the `cfg` folder that came with akyolo.

    Returns:
        The file (None when there is none) and the scale letter in the name ("" when there is none).

    Raises:
        RowError: several files hold scales of that name; they are listed.
    """
    path = Path(name)
    match, scale = _SCALED.match(path.stem) or _FAMILY.match(path.stem), scale_in(name)
    if path.is_file():
        return path, scale
    for folder in (path.parent, packaged):
        hits = _named_alike(path, match, folder)
        if len(hits) > 1:
            raise RowError(f"{name} may mean {', '.join(map(str, hits))}", remedy="name one of them")
        if hits:
            return hits[0], scale
    return None, scale


def scale_in(name: str) -> str:
    """The scale letter in the name of a model YAML, "" when there is none."""
    match = _SCALED.match(Path(name).stem)
    return match["scale"] if match else ""


def unscaled(name: str) -> str:
    """The file name without its scale letter, as Ultralytics calls the file that holds all scales."""
    match = _SCALED.match(Path(name).name)
    return f"{match['family']}{match['rest']}" if match else Path(name).name


def _named_alike(path: Path, match: re.Match[str] | None, folder: Path) -> Sequence[Path]:
    exact = folder / path.name
    if exact.is_file() or not match:
        return [exact] if exact.is_file() else []
    stems = [f"{match['family']}{letter}{match['rest']}" for letter in ("", *SCALES)]
    return [file for stem in stems if (file := folder / f"{stem}{path.suffix}").is_file()]
