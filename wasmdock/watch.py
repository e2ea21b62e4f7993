"""Guests under guard: one thread that ticks wasmtime's epoch, keeps pipes flowing and notices time running out."""

import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from weakref import WeakSet

from wasmdock.errors import UnavailableError

TICK = 0.005  # seconds; a loop in a guest notices its deadline within two of these
_IDLE = 1.0  # seconds without a guest before the thread ends; starting it costs more than a tick
_CHUNK = 1 << 16
_LAST_WORDS = 2.0  # seconds for what a guest printed that was told to end
_LAST_BREATH = 0.2  # seconds that a guest is given to end where its caller was interrupted
_GRACE = 4 * TICK  # a guest in its own code notices within two; who sits in a host call is reported after these
_SPARE: list[tuple[int, int, str]] = []  # emptied pipes, used again: making two costs a sixth of a fresh instance
_MOST_SPARE = 16


class Pipe:
    """One output stream of a guest on its way into memory, at most `cap` bytes of it (None: no cap).

    The guest's thread and the watching thread both empty it, one at a time. What it holds is whole once the
    guest's store is closed: nothing else writes to it. `path` opens the writing end anew; `reader` is the
    reading end's descriptor, for poll, -1 once finished.
    """

    __slots__ = ("_chunks", "_lock", "_room", "_writer", "overflowed", "path", "reader")

    def __init__(self, cap: int | None) -> None:
        """Take an empty pipe."""
        self.reader, self._writer, self.path = _SPARE.pop() if _SPARE else _new_pipe()
        self._lock = threading.Lock()
        self._chunks: list[bytes] = []
        self._room = cap
        self.overflowed = False

    def drain(self) -> bool:
        """Take one chunk without waiting; False where there is none."""
        with self._lock:
            return self._take() > 0

    def finish(self, in_use: bool = False) -> bytes:
        """Take what is left, give the pipe back and the whole of what came.

        A pipe still in use, by a guest that was left behind, is nobody's any more.
        """
        with self._lock:
            if self.reader >= 0:
                while self._take() == _CHUNK:  # less is all there was
                    pass
                _give_back(self.reader, self._writer, self.path, _MOST_SPARE if not in_use else 0)
                self.reader = -1
        return b"".join(self._chunks)

    def _take(self) -> int:
        if self.reader < 0:
            return 0
        try:
            chunk = os.read(self.reader, _CHUNK)
        except BlockingIOError:
            return 0
        size = len(chunk)
        if self._room is not None:
            if size > self._room:
                self.overflowed = True
                chunk = chunk[: self._room]
            self._room -= len(chunk)
        self._chunks.append(chunk)
        return size


def _new_pipe() -> tuple[int, int, str]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    return reader, writer, f"/dev/fd/{writer}"


def _give_back(reader: int, writer: int, path: str, most: int) -> None:
    if len(_SPARE) < most:
        _SPARE.append((reader, writer, path))
    else:
        os.close(reader)
        os.close(writer)


class Guard:
    """One run under watch: when it must end, and why it was told to.

    `reason` is empty while the guest may go on; `pipes` are drained while it runs for longer than a tick.
    `on_stuck(guard)` is called from the watching thread when the guest did not end within `grace` seconds of
    being told to: it sits in a host call that no epoch reaches. `failure` is what a signal's handler raised while it
    ran, to be raised again once it has ended.
    """

    def __init__(
        self,
        timeout: float | None = None,
        pipes: tuple[Pipe, ...] = (),
        on_stuck: "Callable[[Guard], None] | None" = None,
        grace: float = _GRACE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the time limit, in seconds, now."""
        self._clock = clock
        self.started = clock()
        self._began: float | None = None
        self.deadline = None if timeout is None else self.started + timeout
        self.pipes = pipes
        self.reason = ""
        self.failure: BaseException | None = None
        self.left_behind = False
        self._on_stuck = on_stuck
        self._grace = grace
        self._told_at: float | None = None

    def begin(self) -> None:
        """Note that the instance is made: what follows is the guest's own time."""
        self._began = self._clock()

    def phases(self) -> dict[str, float]:
        """Seconds until now of `instantiate` (store, grants, instance) and `run`; no run where none began."""
        now, began = self._clock(), self._began
        if began is None:
            return {"instantiate": now - self.started}
        return {"instantiate": began - self.started, "run": now - began}

    def stop(self, reason: str) -> None:
        """Tell the guest to end; the first reason stands."""
        self.reason = self.reason or reason

    def fail(self, error: BaseException) -> None:
        """Tell the guest to end, and keep the error that is the reason."""
        self.failure = self.failure or error
        self.stop("failure")

    def leave(self, thread: threading.Thread) -> None:
        """Tell the guest in that thread to end, and leave it behind where it sits in a host call."""
        self.stop("interrupt")
        self.left_behind = True  # also where this wait is cut short, by a second Ctrl-C
        thread.join(_LAST_BREATH)
        self.left_behind = thread.is_alive()

    def should_stop(self) -> bool:
        """Whether the guest must end now."""
        if not self.reason and self.deadline is not None and self._clock() >= self.deadline:
            self.reason = "timeout"
        return bool(self.reason)

    def patience(self) -> float | None:
        """Seconds that whoever reads what the guest left may still take, None for as long as he likes."""
        if self.reason:
            return _LAST_WORDS
        return None if self.deadline is None else max(0.0, self.deadline - self._clock())

    def look(self) -> None:
        """The watching thread's look: full pipes, passed deadlines, guests that do not listen."""
        if any(pipe.overflowed for pipe in self.pipes):
            self.stop("output")
        if not self.should_stop():
            return
        now = self._clock()
        self._told_at = self._told_at or now
        if self._on_stuck and now - self._told_at >= self._grace:
            on_stuck, self._on_stuck = self._on_stuck, None
            on_stuck(self)


class Watch:
    """The watching thread, there while guests run. `tick` is called every TICK seconds: it moves the epoch on."""

    def __init__(self, tick: Callable[[], None]) -> None:
        """Nothing runs before the first guard."""
        self._tick = tick
        self._guards: set[Guard] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        _WATCHES.add(self)

    def add(self, guard: Guard) -> None:
        """Watch over one run from now on. Raises UnavailableError where no thread can be started for it."""
        with self._lock:
            if self._thread is None:
                self._thread = self._started()
            self._guards.add(guard)

    def remove(self, guard: Guard) -> None:
        """Watch over it no longer."""
        with self._lock:
            self._guards.discard(guard)

    def forget(self) -> None:
        """Start anew in a forked process: neither the thread nor the guests came along."""
        self._guards, self._lock, self._thread = set(), threading.Lock(), None

    def _started(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name="wasmdock-watch", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise UnavailableError(
                f"watching over the guest: {error}", "this process has as many threads as it may: see ulimit -u"
            ) from error
        return thread

    def _run(self) -> None:
        """Until nothing has run for a while: a thread that only rested would keep its engine alive."""
        idle_since = time.monotonic()
        while True:
            with self._lock:
                guards = tuple(self._guards)
                if not guards and time.monotonic() - idle_since > _IDLE:
                    self._thread = None
                    return
            if guards:
                idle_since = time.monotonic()
                self._tick()
            self._look(guards)

    def _look(self, guards: tuple[Guard, ...]) -> None:
        """For one tick drain the pipes of guests older than two, then look at each guest."""
        until = time.monotonic() + TICK
        old = [guard for guard in guards if until - guard.started > 2 * TICK]
        pipes = {pipe.reader: pipe for guard in old for pipe in guard.pipes if pipe.reader >= 0}
        while pipes and (left := until - time.monotonic()) > 0:
            _drain(pipes, left)
        time.sleep(max(0.0, until - time.monotonic()))
        for guard in guards:
            with suppress(Exception):  # what one guest's owner does wrong must not end the watch over the others
                guard.look()


_WATCHES: WeakSet[Watch] = WeakSet()


def _after_fork() -> None:
    """Leave our parent's pipes to it: used by both, they would mix the output of its guests and ours."""
    while _SPARE:
        reader, writer, _ = _SPARE.pop()
        os.close(reader)
        os.close(writer)
    for watch in _WATCHES:
        watch.forget()


os.register_at_fork(after_in_child=_after_fork)


def _drain(pipes: dict[int, Pipe], seconds: float) -> None:
    """Empty whichever pipe has something within `seconds`; drop those that have nothing."""
    poll = select.poll()
    for descriptor in pipes:
        poll.register(descriptor, select.POLLIN)
    for descriptor, _ in poll.poll(seconds * 1000):
        if not pipes[descriptor].drain():
            del pipes[descriptor]
