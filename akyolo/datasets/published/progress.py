"""How far something long has come, on stderr: a line that changes at a terminal, else one line each tenth."""

import sys
import time


class Progress:
    """Counts `done` up to `total` (0: nobody knows), in the unit that `scale` and `unit` say."""

    def __init__(self, what: str, total: int, scale: int = 1, unit: str = "") -> None:
        self.what, self.total, self.scale, self.unit = what, total, scale, unit
        self.done, self.shown, self.at = 0, -1, 0.0

    def add(self, amount: int) -> None:
        """So much more is done."""
        self.done += amount
        if 0 < self.total < 10 * self.scale:
            return  # soon over
        tenth = 10 * self.done // self.total if self.total else self.done // (100 * self.scale)
        if sys.stderr.isatty():
            if time.monotonic() - self.at > 0.2 or self.done == self.total:
                self.at = time.monotonic()
                print(f"\r{self._line()}", end="\n" if self.done == self.total else "", file=sys.stderr, flush=True)
        elif tenth > self.shown:
            print(self._line(), file=sys.stderr, flush=True)
        self.shown = max(tenth, self.shown)

    def _line(self) -> str:
        of = f" of {self.total / self.scale:,.0f}" if self.total else ""
        return f"akyolo: {self.what} {self.done / self.scale:,.0f}{of} {self.unit}".rstrip()
