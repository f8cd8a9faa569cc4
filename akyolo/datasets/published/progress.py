"""Show the progress of long work on stderr.

A terminal gets one line that changes, a file one line for each tenth.
"""

import sys
import time


class Progress:
    """Count finished work and show it.

    Args:
        what: what is done.
        total: the amount of work; 0 if it is not known.
        scale: the amount that is one unit.
        unit: the name of the unit.
    """

    def __init__(self, what: str, total: int, scale: int = 1, unit: str = "") -> None:
        """Start at zero."""
        self.what, self.total, self.scale, self.unit = what, total, scale, unit
        self.done, self.shown, self.shown_at = 0, -1, 0.0

    def add(self, amount: int) -> None:
        """Count finished work."""
        self.done += amount
        if 0 < self.total < 10 * self.scale:
            return  # so little work needs no progress
        tenth = 10 * self.done // self.total if self.total else self.done // (100 * self.scale)
        if sys.stderr.isatty():
            if time.monotonic() - self.shown_at > 0.2 or self.done == self.total:
                self.shown_at = time.monotonic()
                print(f"\r{self._line()}", end="\n" if self.done == self.total else "", file=sys.stderr, flush=True)
        elif tenth > self.shown:
            print(self._line(), file=sys.stderr, flush=True)
        self.shown = max(tenth, self.shown)

    def _line(self) -> str:
        """Return the line to show."""
        total = f" of {self.total / self.scale:,.0f}" if self.total else ""
        return f"akyolo: {self.what} {self.done / self.scale:,.0f}{total} {self.unit}".rstrip()
