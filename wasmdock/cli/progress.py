"""How far a transfer has come, on one line of a terminal."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from wasmdock.cli.context import Context
from wasmdock.oci.registry_giving import Progress, Silence

_EVERY = 0.1  # seconds between two pictures
_MB = 1e6


class Bar:
    """Counts what threads report and draws it now and then."""

    def __init__(self, what: str) -> None:
        """Draw nothing yet: short transfers stay silent."""
        self._what = what
        self._lock = threading.Lock()
        self._total = self._done = 0
        self._began = self._drawn = time.monotonic()
        self._is_visible = False

    def expect(self, count: int) -> None:
        """So many more bytes are to move."""
        with self._lock:
            self._total += count

    def moved(self, count: int) -> None:
        """So many did."""
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now - self._drawn >= _EVERY:
                self._drawn = now
                self._draw(now)

    def clear(self) -> None:
        """Take the line away."""
        with self._lock:
            if self._is_visible:
                sys.stderr.write("\r\033[K")
                sys.stderr.flush()

    def _draw(self, now: float) -> None:
        self._is_visible = True
        rate = self._done / _MB / max(now - self._began, 0.001)
        amount = f"{self._done / _MB:.1f} of {self._total / _MB:.1f} MB"
        sys.stderr.write(f"\r\033[K{self._what}  {amount}  {rate:.1f} MB/s")
        sys.stderr.flush()


@contextmanager
def progress_of(what: str, context: Context) -> Iterator[Progress]:
    """A bar where people watch, silence elsewhere."""
    if not context.is_terminal or context.quiet:
        yield Silence()
        return
    bar = Bar(what)
    try:
        yield bar
    finally:
        bar.clear()
