"""Keep upstream from installing packages by itself."""

from ultralytics.utils import checks


def never_install() -> None:
    """Upstream calls pip for what it misses; a command of ours names it instead."""
    checks.AUTOINSTALL = False
