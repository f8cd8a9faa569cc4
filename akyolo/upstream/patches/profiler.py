"""Give the rules of our layers to thop.

`model.info()` of Ultralytics calls thop without them.
"""

from thop.profile import register_hooks

from akyolo.cost import RULES


def install() -> None:
    """Add our rules; doing it twice changes nothing."""
    register_hooks.update(RULES)
