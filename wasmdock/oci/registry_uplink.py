"""A connection's way up: what is sent may take its time while enough of it leaves this machine's send queue."""

import fcntl
import sys
import termios
import time
from math import inf
from typing import Any

from wasmdock.oci.registry_pace import Pace, TooSlowError
from wasmdock.ready import is_readable

_LOOKS = 1.0  # seconds that one write waits before the pace is looked at
_BLIND = 10  # times as long, where nobody tells what lies in the queue: a third of it must leave before more fits
_NAP = 0.1  # seconds between looks at the queue


class NotTakenError(TooSlowError):
    """The other side takes what is sent, but not enough of it; the text says how much it took."""


class Uplink:
    """A connected socket whose `sendall` has no end in time but the pace; everything else is the socket's own.

    The timeout of Python's is for all of the bytes, however slowly but steadily they go: a piece of 1 MiB in 30 s is
    35 kB/s. A socket with TLS goes on with a write that ran out of time, if it is given the same bytes again.
    """

    def __init__(self, connected: Any, least: int, every: float) -> None:
        """`least` bytes a second must leave over each `every` seconds."""
        self.given = 0  # bytes since `begin`
        self.is_cut = False  # something was begun and not sent to its end
        self._socket = connected
        self._is_tls = hasattr(connected, "pending")
        self._least, self._every = least, every
        self.begin()

    def __getattr__(self, name: str) -> Any:
        """All that a socket has besides."""
        return getattr(self._socket, name)

    def begin(self) -> None:
        """Count from here on: a new request."""
        self.given, self._ended = 0, time.monotonic()
        self._pace, queued = Pace(inf, "were taken"), self.queued
        self._pace.taken = -(queued or 0)
        self._pace.body(self._least, self._every if queued is not None else self._every * _BLIND)

    @property
    def queued(self) -> int | None:
        """Bytes that the other side has not acknowledged (SIOCOUTQ, tcp(7)); None where nobody tells."""
        if sys.platform != "linux":
            return None
        try:
            return int.from_bytes(fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        except (OSError, ValueError):
            return None

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send it all. Raises NotTakenError, BrokenPipeError where there is an answer before the end, OSError."""
        connected, view, kept = self._socket, memoryview(data).cast("B"), self._socket.gettimeout()
        self._pace.rested(time.monotonic() - self._ended)
        connected.settimeout(min(_LOOKS, self._every / 4))
        try:
            while view:
                count = self._write(view, flags)
                self.given += count
                view = view[count:]
        except BaseException:
            self.is_cut = True
            raise
        finally:
            connected.settimeout(kept)
            self._ended = time.monotonic()

    def drain(self) -> None:
        """Wait until the queue is empty or there is an answer. Raises NotTakenError."""
        nap = 0.001
        while self.queued and self._goes_on():
            if not is_readable(self._socket, nap):
                nap = min(_NAP, nap * 2)
            elif not self._is_tls:
                return
            elif self.queued:  # it may be a ticket of TLS 1.3: with an answer the queue is empty
                time.sleep(_NAP / 10)

    def _write(self, view: memoryview, flags: int) -> int:
        """How many bytes fitted into the queue."""
        try:
            count: int = self._socket.send(view, flags)
        except TimeoutError:
            count = 0
        is_answered = not count and not self._is_tls and is_readable(self._socket)
        if is_answered or not self._goes_on():
            raise BrokenPipeError("it answered before it had taken all")
        return count

    def _goes_on(self) -> bool:
        """Whether enough is taken; False where too little is, but there may be an answer. Raises NotTakenError."""
        self._pace.taken = self.given - (self.queued or 0)
        try:
            self._pace.look()
        except TooSlowError as error:
            if is_readable(self._socket):
                return False
            raise NotTakenError(str(error)) from error
        return True
