"""How long the bytes of an answer may take: looked at before each read of the socket, whatever the bytes are for."""

import io
import time
from http.client import HTTPResponse
from math import inf
from typing import Any


class TooSlowError(TimeoutError):
    """The other side sends, but not enough, or not in time; the text says how much came."""


class SilentError(TimeoutError):
    """The other side has all that was asked, and says nothing for so many seconds."""

    def __init__(self, seconds: float) -> None:
        """Keep the seconds."""
        super().__init__("nothing came in time")
        self.seconds = seconds


class Pace:
    """The deadlines of one answer: for its head, then for its body as `body` sets them.

    A timeout of the socket never ends a server that sends a byte now and then; nor does a look at the pieces of a
    body, where http.client waits for the rest of a chunk's size or reads trailers without end.
    """

    def __init__(self, head: float, verb: str = "came") -> None:
        """Begin with the head, that may take so many seconds; verb is what the bytes of the body do."""
        self.taken = 0  # bytes of the body that came out of http.client, or that went up
        self._verb = verb
        self._next = self._end = time.monotonic() + head
        self._what = f"the head of the answer took longer than {head:.0f} s"
        self._since, self._before, self._least, self._every = 0.0, 0, 0, inf

    def body(self, least: int, every: float, within: float = inf) -> None:
        """From now on: `least` bytes a second over each `every` seconds, and all within so many seconds."""
        self._end, self._what = time.monotonic() + within, f"the answer took longer than {within:.0f} s"
        self._least, self._every = least, every
        self._look_again(time.monotonic())

    def rested(self, seconds: float) -> None:
        """So long nobody read: no fault of the other side."""
        self._since += seconds
        self._next = min(self._end, self._since + self._every)

    def look(self) -> None:
        """Raise TooSlowError where a deadline has passed; nearly always this is one comparison."""
        now = time.monotonic()
        if now < self._next:
            return
        if now >= self._end:
            raise TooSlowError(self._what)
        count, seconds = self.taken - self._before, now - self._since
        if count < self._least * seconds:
            raise TooSlowError(f"only {max(0, count)} bytes {self._verb} in {seconds:.0f} s")
        self._look_again(now)

    def _look_again(self, now: float) -> None:
        self._since, self._before = now, self.taken
        self._next = min(self._end, now + self._every)


class PacedResponse(HTTPResponse):
    """http.client's answer, read as `pace` allows."""

    def __init__(self, head: float, sock: Any, *args: Any, **more: Any) -> None:
        """Put the look between http.client's buffer and the socket, while nothing is in it yet."""
        super().__init__(sock, *args, **more)
        self.pace = Pace(head)
        stream: Any = self.fp
        self.fp = io.BufferedReader(_PacedStream(stream.detach(), self.pace))


class _PacedStream(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, pace: Pace) -> None:
        self._raw = raw
        self._look = pace.look

    def readable(self) -> bool:
        return True

    def readinto(self, view: Any) -> int | None:
        self._look()
        return self._raw.readinto(view)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._raw.close()
