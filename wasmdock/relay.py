"""A guest's output stream on its way to one of this process's own, counted, and cut where it is too much."""

import os
import select
import threading
from collections.abc import Callable

from wasmdock.passing import end_line

_CHUNK = 1 << 16


class Relay:
    """Passes on at most `cap` bytes to the descriptor `target`; `on_overflow` is called once, from a thread of its own.

    What comes later is read and dropped, so that the guest is not held up while it is being ended. `failure` is why the
    stream could not be written to; it overflows then, too.
    """

    def __init__(self, target: int, cap: int, on_overflow: Callable[[], None]) -> None:
        """Start passing on; `path` is what wasmtime opens for writing."""
        self._reader, self._writer = os.pipe()
        self._target, self._room, self._on_overflow = target, cap, on_overflow
        self._overflowed, self._last = False, b"\n"
        self.failure: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="wasmdock-relay", daemon=True)
        self._thread.start()

    @property
    def path(self) -> str:
        """A path that opens the writing end anew."""
        return f"/dev/fd/{self._writer}"

    def finish(self, seconds: float | None) -> bool:
        """Once the guest's end is closed: wait for what is left to be passed on, at most so long; whether it was."""
        os.close(self._writer)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while chunk := os.read(self._reader, _CHUNK):
            try:
                self._pass_on(chunk)
            except OSError as error:  # its disk is full, or nobody reads it any more
                self.failure, self._room = self.failure or error, 0
                self._on_overflow()
        os.close(self._reader)

    def _pass_on(self, chunk: bytes) -> None:
        overflows = len(chunk) > self._room
        rest = memoryview(chunk)[: self._room]
        self._room -= len(rest)
        self._last = bytes(rest[-1:]) or self._last
        while rest:
            try:
                rest = rest[os.write(self._target, rest) :]
            except BlockingIOError:  # whoever gave us the stream does not wait on it; we do
                poll = select.poll()
                poll.register(self._target, select.POLLOUT)
                poll.poll()
        if overflows and not self._overflowed and self.failure is None:
            self._overflowed = True
            end_line(self._target, self._last)
            self._on_overflow()
