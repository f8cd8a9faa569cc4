"""Find the YAML files of akyolo.

They are next to the package in a checkout, and inside of it in a wheel.
"""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def packaged(folder: str) -> Path:
    """Return a folder of packaged files.

    Args:
        folder: `cfg` or `data`.

    Example:
        >>> from akyolo.resources import packaged
        >>> (packaged("cfg") / "yolov8n-akconv5.yaml").is_file()
        True
    """
    checkout = PACKAGE.parent
    return (checkout if (checkout / "pyproject.toml").is_file() else PACKAGE) / folder
