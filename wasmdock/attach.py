"""Other programs on this process's own streams and terminal: they and the user talk directly."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import IO, Protocol

from wasmdock.process import ASKED_GRACE, KILL_GRACE, Completed, starting

_CHUNK = 1 << 16
_LAST_WORDS = 0.3


class Attacher(Protocol):
    """The shape of `attach_command`, so that tests pass a fake."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        timeout: float | None,
        stdin: bytes | None = None,
        share_stdin: bool = False,
        env: Mapping[str, str] | None = None,
        on_timeout: Callable[[], None] | None = None,
        stderr_tail: int = 0,
        cap: int | None = None,
        on_overflow: Callable[[], None] | None = None,
    ) -> Completed:
        """Run a program on this process's own streams."""


def attach_command(
    argv: Sequence[str],
    *,
    timeout: float | None,
    stdin: bytes | None = None,
    share_stdin: bool = False,
    env: Mapping[str, str] | None = None,
    on_timeout: Callable[[], None] | None = None,
    stderr_tail: int = 0,
    cap: int | None = None,
    on_overflow: Callable[[], None] | None = None,
) -> Completed:
    """Run a program on this process's own stdout, stderr and, with share_stdin, stdin.

    It stays in our process group, so Ctrl-C at the terminal reaches it and it decides how to end; SIGTERM to
    us is forwarded. timeout is seconds or None; at the deadline `on_timeout` is called, then SIGTERM and
    SIGKILL follow. With stderr_tail (bytes) stderr passes through us and that much of its end is in the
    result; nothing else is kept. With a cap (bytes) stdout passes through us too, each of the two is cut there,
    `on_overflow` is called once and the result is `truncated`. Raises UnavailableError where there is no such program.
    """
    began = time.monotonic()
    nothing = None if share_stdin else subprocess.DEVNULL
    with starting(argv):
        process = subprocess.Popen(
            list(argv),
            stdin=nothing if stdin is None else subprocess.PIPE,
            stdout=None if cap is None else subprocess.PIPE,
            stderr=subprocess.PIPE if stderr_tail or cap is not None else None,
            env=None if env is None else dict(env),
            bufsize=0,
        )
    watch = _Watch(process, on_timeout)
    stdout, stderr = _Copy(1, cap, on_overflow), _Copy(2, cap, on_overflow, stderr_tail)
    try:
        with _forwarding_signals(process), watch.until(timeout):
            feeder = _start(_feed, process, stdin) if stdin is not None else None
            copies = [
                (copy, _start(copy.run, stream))
                for copy, stream in ((stdout, process.stdout), (stderr, process.stderr))
                if stream is not None
            ]
            process.wait()
    finally:
        _end(process)
    for copy, thread in copies:
        copy.last_words(thread, hurry=watch.expired)
    if feeder:
        feeder.join(_LAST_WORDS)
    return Completed(
        argv=tuple(argv),
        code=process.returncode,
        stderr=bytes(stderr.tail),
        truncated=stdout.overflowed or stderr.overflowed,
        timed_out=watch.expired,
        seconds=time.monotonic() - began,
    )


class _Watch:
    """Ends a program at a deadline from a thread: a wait with a timeout polls, and notices the end late."""

    def __init__(self, process: "subprocess.Popen[bytes]", on_timeout: Callable[[], None] | None) -> None:
        self.expired = False
        self._process = process
        self._on_timeout = on_timeout

    @contextmanager
    def until(self, timeout: float | None) -> Iterator[None]:
        if timeout is None:
            yield
            return
        timer = threading.Timer(timeout, self._expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _expire(self) -> None:
        self.expired = True
        if self._on_timeout:
            self._on_timeout()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(ASKED_GRACE)
        _end(self._process)


def _start(work: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    return thread


def _feed(process: "subprocess.Popen[bytes]", data: bytes) -> None:
    """Write stdin beside the wait; a program that does not read it must not hold us up."""
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin as stream:
        rest = memoryview(data)
        while rest:
            rest = rest[stream.write(rest) or 0 :]


class _Copy:
    """One stream of a program passed on to a descriptor of ours: its end kept, at most `cap` bytes passed on."""

    def __init__(self, target: int, cap: int | None, on_overflow: Callable[[], None] | None, keep: int = 0) -> None:
        self.tail = bytearray()
        self.overflowed = False
        self._passed, self._is_passing = 0, False
        self._target, self._room, self._keep, self._on_overflow = target, cap, keep, on_overflow

    def run(self, stream: IO[bytes]) -> None:
        with stream:
            while chunk := stream.read(_CHUNK):
                if self._keep:
                    self.tail.extend(chunk)
                    del self.tail[: -self._keep]
                self._write(chunk)

    def last_words(self, thread: threading.Thread, hurry: bool) -> None:
        """Once the program has ended: wait for what it left, as long as that is being passed on.

        Not for an end of its pipe that something it started holds, and not for a slow reader in a `hurry`.
        """
        while thread.is_alive():
            passed = self._passed
            thread.join(_LAST_WORDS)
            if hurry or (self._passed == passed and not self._is_passing):
                return

    def _write(self, chunk: bytes) -> None:
        """Pass on what there is room for; the rest is dropped, so that nobody is held up."""
        passed = chunk if self._room is None else chunk[: self._room]
        if self._room is not None:
            self._room -= len(passed)
        self._is_passing = True
        with suppress(OSError):
            rest = memoryview(passed)
            while rest:
                rest = rest[os.write(self._target, rest) :]
        self._passed, self._is_passing = self._passed + len(passed), False
        if len(passed) < len(chunk) and not self.overflowed:
            self.overflowed = True
            if self._on_overflow:
                self._on_overflow()


@contextmanager
def _forwarding_signals(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Leave Ctrl-C to the program and pass SIGTERM on to it, as long as it runs.

    A terminal sends SIGINT to the whole group, the program included; without one it was meant for us alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    at_terminal = any(os.isatty(number) for number in (0, 1, 2))

    def forward(number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGINT or not at_terminal:
            process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(KILL_GRACE)
        finally:
            process.kill()
            process.wait()
