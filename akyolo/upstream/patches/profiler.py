"""Give the rules of our layers to thop, so that `model.info()` of Ultralytics counts them too."""

from thop.profile import register_hooks

from akyolo.cost import RULES


def install() -> None:
    """Add our rules to those of thop; doing it twice changes nothing."""
    register_hooks.update(RULES)
