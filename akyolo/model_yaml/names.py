"""Find the file and scale of a name."""

import re
from collections.abc import Sequence
from pathlib import Path

from akyolo.errors import RowError

SCALES = "nslmx"
_SCALED = re.compile(rf"^(?P<family>.*?yolov?\d+)(?P<scale>[{SCALES}])(?P<rest>.*)$")
_FAMILY = re.compile(r"^(?P<family>yolov?\d+)(?P<rest>)$")  # Ultralytics' name of a file with all scales


def find_model_yaml(name: str, packaged: Path) -> tuple[Path | None, str]:
    """Find a model YAML by its name.

    The path itself comes first, then the same name with any scale letter in that folder, then in `packaged`.

    Args:
        name: what the user wrote, e.g. `cfg/yolov8s-akconv5.yaml`.
        packaged: the `cfg` folder of akyolo.

    Returns:
        The file (None if there is none) and the scale letter in the name ("" if there is none).

    Raises:
        RowError: several files hold scales of that name. The message lists them.
    """
    path = Path(name)
    match, scale = _SCALED.match(path.stem) or _FAMILY.match(path.stem), scale_in(name)
    if path.is_file():
        return path, scale
    for folder in (path.parent, packaged):
        files = _files_of_family(path, match, folder)
        if len(files) > 1:
            raise RowError(f"{name} may mean {', '.join(map(str, files))}", remedy="name one of them")
        if files:
            return files[0], scale
    return None, scale


def scale_in(name: str) -> str:
    """Return the scale letter in a name, or "".

    Example:
        >>> from akyolo.model_yaml import scale_in
        >>> scale_in("cfg/yolov8s-akconv5.yaml")
        's'
    """
    match = _SCALED.match(Path(name).stem)
    return match["scale"] if match else ""


def name_without_scale(name: str) -> str:
    """Return the file name without its scale letter.

    Ultralytics has one file of that name for all scales.
    """
    match = _SCALED.match(Path(name).name)
    return f"{match['family']}{match['rest']}" if match else Path(name).name


def _files_of_family(path: Path, match: re.Match[str] | None, folder: Path) -> Sequence[Path]:
    """Return the files of this name, any scale."""
    exact = folder / path.name
    if exact.is_file() or not match:
        return [exact] if exact.is_file() else []
    stems = [f"{match['family']}{letter}{match['rest']}" for letter in ("", *SCALES)]
    return [file for stem in stems if (file := folder / f"{stem}{path.suffix}").is_file()]
