"""Where the YAML files that come with akyolo lie: beside the package in a checkout, inside it in a wheel."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def packaged(folder: str) -> Path:
    """The folder `cfg` or `data` that came with this installation."""
    checkout = PACKAGE.parent
    return (checkout if (checkout / "pyproject.toml").is_file() else PACKAGE) / folder
