"""Other programs on this process's own streams and terminal: they and the user talk directly."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from types import FrameType
from typing import Protocol

from wasmdock.lifeline import die_with
from wasmdock.passing import Passing
from wasmdock.process import ASKED_GRACE, KILL_GRACE, Completed, starting

_LAST_WORDS = 0.3
_BY_KERNEL = 0x80  # SI_KERNEL of asm-generic/siginfo.h


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
        hold: tuple[str, ...] = (),
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
    hold: tuple[str, ...] = (),
) -> Completed:
    """Run a program on this process's own stdout, stderr and, with share_stdin, stdin.

    It stays in our process group, so Ctrl-C at the terminal reaches it and it decides how to end; SIGTERM to us and
    a SIGINT to us alone are forwarded, and it gets SIGTERM where we are killed.
    timeout is seconds or None; at the deadline `on_timeout` is called, then SIGTERM and SIGKILL follow. With
    stderr_tail (bytes) stderr passes through us and that much of its end is in the result; nothing else is kept. With
    a cap (bytes) stdout passes through us too, each of the two is cut there, `on_overflow` is called once and the
    result is `truncated`. Where stderr passes through us, its last words from a line on that begins with one of
    `hold` are in the result as `withheld`, for the caller to pass on or to say better.
    Raises UnavailableError where there is no such program.
    """
    began, us = time.monotonic(), os.getpid()
    nothing = None if share_stdin else subprocess.DEVNULL
    stdout, stderr = Passing(1, cap, on_overflow), Passing(2, cap, on_overflow, keep=stderr_tail, hold=hold)
    with starting(argv):
        process = subprocess.Popen(
            list(argv),
            stdin=nothing if stdin is None else subprocess.PIPE,
            stdout=None if cap is None else subprocess.PIPE,
            stderr=subprocess.PIPE if stderr_tail or cap is not None else None,
            env=None if env is None else dict(env),
            bufsize=0,
            preexec_fn=lambda: die_with(us, signal.SIGTERM),
        )
    watch = _Watch(process, on_timeout)
    try:
        with _forwarding_signals(process), watch.until(timeout):
            feeder = _start(_feed, process, stdin) if stdin is not None else None
            pairs = ((stdout, process.stdout), (stderr, process.stderr))
            copies = [(copy, _start(copy.run, stream)) for copy, stream in pairs if stream is not None]
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
        withheld=bytes(stderr.withheld),
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


@contextmanager
def _forwarding_signals(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Leave Ctrl-C to the program and pass SIGTERM on to it, as long as it runs, and a SIGINT to us alone.

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
        with _sorting_interrupts(process) if at_terminal and sys.platform == "linux" else nullcontext():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _sorting_interrupts(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Pass on each SIGINT that a process sent; the kernel's own, from the terminal, the program has got, too.

    Only who waits for a signal learns who sent it. A process that sends one to our whole group reaches the program
    twice: the docker client forwards both.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    ended = threading.Event()
    waiter = _start(_pass_interrupts_on, process, ended)
    try:
        yield
    finally:
        assert waiter.ident is not None
        ended.set()
        signal.pthread_kill(waiter.ident, signal.SIGINT)
        waiter.join()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _pass_interrupts_on(process: "subprocess.Popen[bytes]", ended: threading.Event) -> None:
    while True:
        sent = signal.sigwaitinfo({signal.SIGINT})
        if ended.is_set() and sent.si_pid == os.getpid():
            return
        if sent.si_code != _BY_KERNEL:
            process.send_signal(signal.SIGINT)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(KILL_GRACE)
        finally:
            process.kill()
            process.wait()
