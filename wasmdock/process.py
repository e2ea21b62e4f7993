"""Other programs: called with a deadline, captured with a cap, and never left behind."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wasmdock.errors import CommandError, UnavailableError, UsageError

MIB = 1 << 20
DEFAULT_CAP = 64 * MIB
# A docker client waiting for a wedged engine ignores SIGTERM, so SIGKILL has to follow.
KILL_GRACE = 2.0
# What `on_timeout` asked for takes its time, on a busy Docker engine seconds.
ASKED_GRACE = 5.0
# After the program ended, something it left running may hold its pipes open (sccache does): wait no longer.
_DRAIN_GRACE = 0.3
_TICK = 0.1
_LONGEST = 1e6  # seconds; epoll takes 24 days at most
_CHUNK = 1 << 16
_running: "set[subprocess.Popen[bytes]]" = set()  # by run_command, in any thread


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended: exit code (negative: signal), what it printed, seconds of wall time.

    truncated: a stream passed its cap and only its beginning is here. timed_out: ended at the deadline.
    withheld: the end of a stderr that was passed on to ours, without this end.
    """

    argv: tuple[str, ...]
    code: int
    stdout: bytes = b""
    stderr: bytes = b""
    timed_out: bool = False
    truncated: bool = False
    seconds: float = 0.0
    withheld: bytes = b""

    def check(self, doing: str, hint: str = "") -> "Completed":
        """Return self where the program succeeded, else raise CommandError saying what was being done."""
        if self.code == 0 and not self.timed_out:
            return self
        tail = self.stderr_text()
        how = f"no end after {self.seconds:.0f} s" if self.timed_out else f"exit code {self.code}"
        last = tail.splitlines()[-1].strip() if tail else ""
        cause = f"{how}: {last}" if last else how
        raise CommandError(f"{doing}: {self.argv[0]}: {cause}", hint, self.argv, self.code, tail)

    def stderr_text(self, limit: int = 8192) -> str:
        """Return the end of stderr, at most `limit` bytes, as text."""
        return self.stderr[-limit:].decode("utf-8", "replace").strip()


def own_module(name: str, *words: object) -> tuple[list[str], dict[str, str]]:
    """The argv and the environment that run a module of ours in a process of its own.

    -P: it looks for modules where we do, and not first of all in the folder we happen to be in.
    """
    argv = [sys.executable, "-P", "-m", name, *map(str, words)]
    return argv, {**os.environ, "PYTHONPATH": os.pathsep.join(each or str(Path.cwd()) for each in sys.path)}


class Runner(Protocol):
    """The shape of `run_command`, so that tests pass a fake."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        on_output: Callable[[bytes], None] | None = None,
        on_stderr: Callable[[bytes], None] | None = None,
        on_timeout: Callable[[], None] | None = None,
        on_overflow: Callable[[], None] | None = None,
        cap: int = DEFAULT_CAP,
    ) -> Completed:
        """Run a program to its end."""


def run_command(
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    on_output: Callable[[bytes], None] | None = None,
    on_stderr: Callable[[bytes], None] | None = None,
    on_timeout: Callable[[], None] | None = None,
    on_overflow: Callable[[], None] | None = None,
    cap: int = DEFAULT_CAP,
) -> Completed:
    """Run a program in a process group of its own and capture it.

    timeout is seconds; at the deadline `on_timeout` is called where given, which may end the program from
    elsewhere, and then the whole group gets SIGTERM and, 2 s later, SIGKILL. stdin None is the empty stream.
    on_output sees every chunk of stdout and stderr as it comes, on_stderr those of stderr alone; an exception
    they raise ends the program.
    cap is bytes kept per stream; the rest is read and dropped, after one call of `on_overflow`.
    Raises UnavailableError where there is no such program; any other end is a Completed.
    """
    began = time.monotonic()
    source = subprocess.DEVNULL if stdin is None else subprocess.PIPE
    with starting(argv, cwd):
        process = subprocess.Popen(
            list(argv),
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=None if env is None else dict(env),
            cwd=cwd,
            bufsize=0,
            start_new_session=True,
        )
    pump = _Pump(process, stdin or b"", cap, (on_output, on_stderr), on_overflow)
    _running.add(process)
    try:
        timed_out = not pump.run(began + timeout)
        if timed_out and on_timeout:
            on_timeout()
            pump.run(time.monotonic() + ASKED_GRACE)
        if not timed_out:
            process.wait()
    finally:
        end_group(process)
        _running.discard(process)
        pump.close()
    return Completed(
        argv=tuple(argv),
        code=process.returncode,
        stdout=bytes(pump.kept[0]),
        stderr=bytes(pump.kept[1]),
        timed_out=timed_out,
        truncated=pump.truncated,
        seconds=(time.monotonic() if timed_out else pump.ended) - began,
    )


@contextmanager
def starting(argv: Sequence[str], cwd: Path | None = None) -> Iterator[None]:
    """Turn a failure to start into UnavailableError, or UsageError for the folder."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        if cwd is not None and not cwd.is_dir():
            raise UsageError(f'running "{argv[0]}" in "{cwd}": no such folder') from error
        raise UnavailableError(
            f'running "{argv[0]}": no such program on PATH',
            f"install {Path(argv[0]).name}, or put its folder on PATH",
        ) from error
    except OSError as error:
        raise UnavailableError(f'running "{argv[0]}": {error.strerror or error}') from error


class _Pump:
    """Moves bytes between a program's pipes and memory until both outputs end; `ended` is when the program did."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        stdin: bytes,
        cap: int,
        listeners: tuple[Callable[[bytes], None] | None, Callable[[bytes], None] | None],
        on_overflow: Callable[[], None] | None,
    ) -> None:
        self.kept = (bytearray(), bytearray())
        self.truncated = False
        self.ended = 0.0
        self._process = process
        self._rest = memoryview(stdin)
        self._on_output, self._on_stderr = listeners
        self._on_overflow = on_overflow
        self._cap = cap
        self._selector = selectors.DefaultSelector()
        self._outputs = 0
        for index, stream in enumerate((process.stdout, process.stderr)):
            if stream is not None:
                self._selector.register(stream, selectors.EVENT_READ, index)
                self._outputs += 1
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            self._selector.register(process.stdin, selectors.EVENT_WRITE, None)

    def run(self, deadline: float) -> bool:
        """Pump until the program ended (True) or time.monotonic() passes the deadline (False)."""
        gone_since: float | None = None
        while self._outputs:
            now = time.monotonic()
            if now >= deadline:
                return False
            ready = self._selector.select(min(_TICK, deadline - now))
            self.ended = time.monotonic()  # its outputs end with it: what we do then is not its time
            for key, _ in ready:
                self._move(key)
            if not ready and self._process.poll() is not None:
                gone_since = gone_since or now
                if now - gone_since >= _DRAIN_GRACE:
                    self.ended = gone_since
                    return True
        if self._process.poll() is not None:
            return True
        has_ended = _has_ended(self._process, deadline - time.monotonic())
        self.ended = time.monotonic()
        return has_ended

    def close(self) -> None:
        """Close every pipe."""
        self._selector.close()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _move(self, key: selectors.SelectorKey) -> None:
        if key.data is None:
            self._write()
            return
        chunk = os.read(key.fd, _CHUNK)
        if not chunk:
            self._selector.unregister(key.fd)
            self._outputs -= 1
            return
        self._keep(key.data, chunk)
        if self._on_output:
            self._on_output(chunk)
        if self._on_stderr and key.data == 1:
            self._on_stderr(chunk)

    def _keep(self, index: int, chunk: bytes) -> None:
        room = self._cap - len(self.kept[index])
        self.kept[index].extend(chunk[: max(0, room)])
        if len(chunk) > room and not self.truncated:
            self.truncated = True
            if self._on_overflow:
                self._on_overflow()

    def _write(self) -> None:
        stream = self._process.stdin
        assert stream is not None
        try:
            self._rest = self._rest[os.write(stream.fileno(), self._rest[:_CHUNK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._rest = self._rest[:0]
        if not self._rest:
            self._selector.unregister(stream)
            stream.close()


def _has_ended(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Wait for the end, so many seconds at most, and notice it at once: Popen.wait looks after 0.5, 1, 2, ... ms."""
    if process.poll() is not None:
        return True
    try:
        handle = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not Linux, or no descriptor left
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, seconds))
        return process.poll() is not None
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(handle, selectors.EVENT_READ)
            selector.select(None if seconds > _LONGEST else max(0.0, seconds))
    finally:
        os.close(handle)
    return process.poll() is not None


def end_running() -> None:
    """End what `run_command` runs in any thread, by SIGTERM and, 2 s later, SIGKILL: no signal reaches a thread."""
    found = list(_running)
    for process in found:
        _signal_group(process, signal.SIGTERM)
    until = time.monotonic() + KILL_GRACE
    while any(process in _running for process in found) and time.monotonic() < until:
        time.sleep(_TICK / 2)
    for process in found:
        if process in _running:
            _signal_group(process, signal.SIGKILL)


def end_group(process: "subprocess.Popen[bytes]") -> None:
    """End what is left of the group of a program that leads one, and reap it."""
    if process.poll() is None:
        _signal_group(process, signal.SIGTERM)
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(KILL_GRACE)
        finally:
            _signal_group(process, signal.SIGKILL)
            process.wait()


def _signal_group(process: "subprocess.Popen[bytes]", number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
