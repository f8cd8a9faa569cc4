"""Keep upstream from installing packages by itself."""

from ultralytics.utils import checks


def never_install() -> None:
    """Stop upstream from calling pip.

    Our commands name the missing package instead.
    """
    checks.AUTOINSTALL = False
