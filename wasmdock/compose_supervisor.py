"""The supervisor: one thread that starts services in order, watches, restarts and stops them."""

import os
import selectors
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from wasmdock.compose_child import Job, spawn
from wasmdock.compose_member import UNHEALTHY, Life, Line, Member, Patience, Status
from wasmdock.compose_service import COMPLETED, HEALTHY, Dependency
from wasmdock.errors import CommandError, WasmdockError

_CHUNK = 1 << 16
_LONGEST_LINE = 1 << 20
_STEADY = 10.0  # seconds after which a start counts as one that worked, as in Docker
_IDLE = 3600.0


class Supervisor:
    """Runs members to their end. Exactly one thread; children die with it."""

    def __init__(
        self,
        members: Iterable[Member],
        on_line: Callable[[Line], None],
        on_change: Callable[["Supervisor"], None] = lambda _: None,
        on_ready: Callable[[], None] = lambda: None,
        on_end: Callable[[str], None] = lambda _: None,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep what is to run; nothing starts yet. on_end hears a sentence at each end of a member."""
        self.lives = {member.name: Life(member) for member in members}
        self.error: WasmdockError | None = None
        self._on_line, self._on_change, self._on_ready, self._on_end = on_line, on_change, on_ready, on_end
        self._patience = patience or Patience()
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._rests: dict[int, bytearray] = {}
        self._stopping = False
        self._signals = 0
        self._was_ready = False
        self._exited: dict[int, int] = {}

    def run(self) -> None:
        """Run until all have ended or a signal asked to stop. A failure to start is in `error` afterwards."""
        reader, writer = os.pipe()
        for end in (reader, writer):
            os.set_blocking(end, False)
        before = {
            number: signal.signal(number, self._signalled) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._selector.register(reader, selectors.EVENT_READ, None)
        try:
            self._loop()
        finally:
            self._kill_all()
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()
            os.close(reader)
            os.close(writer)

    @property
    def was_stopped(self) -> bool:
        """Whether a signal ended it."""
        return self._signals > 0

    def stop(self) -> None:
        """Ask all to stop, in the reverse order of their start; asked twice, they are killed."""
        self._signals += 1
        self._stopping = True

    def _signalled(self, *_: object) -> None:
        self.stop()

    def _loop(self) -> None:
        while True:
            self._reap()
            if self._signals > 1:
                self._kill_all()
                return
            try:
                self._step()
            except WasmdockError as error:
                self._fail(error)
                continue  # to stopping, not to sleep
            if all(life.done for life in self.lives.values()):
                self._drain()
                self._on_change(self)
                return
            self._wait()

    def _step(self) -> None:
        if self._stopping:
            self._stop_next()
            return
        changed = False
        for life in self.lives.values():
            changed |= self._advance(life)
            self._ask_health(life)
        if not self._was_ready and all(map(_has_begun, self.lives.values())):
            self._was_ready = changed = True
            self._on_ready()
        if changed:
            self._on_change(self)

    def _advance(self, life: Life) -> bool:
        if life.status is Status.WAITING and self._may_start(life):
            self._start(life)
            return True
        if life.status is Status.RESTARTING and self._clock() >= life.again_at:
            life.restarts += 1
            self._start(life)
            return True
        return False

    def _may_start(self, life: Life) -> bool:
        return all(self._satisfied(life, each) for each in life.member.depends_on)

    def _satisfied(self, life: Life, wanted: Dependency) -> bool:
        """Whether a dependency is there. Raises CommandError where it never will be."""
        place = f"{life.member.where.rpartition(':')[0]}:{wanted.line}"
        what = f'{place}: service "{life.member.service}" waits for "{wanted.service}"'
        test = {COMPLETED: _has_completed, HEALTHY: _is_healthy}.get(wanted.condition, _has_started)
        others = [each for each in self.lives.values() if each.member.service == wanted.service]
        return all(test(other, wanted.required, what) for other in others)

    def _start(self, life: Life) -> None:
        life.pid = self._spawn(life.member.job(), life)
        life.status, life.started, life.code, life.ready = Status.RUNNING, self._clock(), None, False
        health = life.member.health
        life.failures = 0
        if health and life.member.check:
            life.healthy = None
            life.check_at = life.started + (health.start_interval if health.start_period else health.interval)
        if life.member.after_start:
            for job in life.member.after_start():
                life.aides.append(self._spawn(job, life))

    def _spawn(self, job: Job, life: Life, quiet: bool = False) -> int:
        """Start a job with pipes for its output, which become lines of this member."""
        ends = [os.pipe() for _ in range(2)]
        try:
            pid = spawn(job, ends[0][1], ends[1][1])
        finally:
            for _, writer in ends:
                os.close(writer)
        for stream, (reader, _) in enumerate(ends, 1):
            os.set_blocking(reader, False)
            self._selector.register(reader, selectors.EVENT_READ, (life, stream, quiet))
            self._rests[reader] = bytearray()
        return pid

    def _wait(self) -> None:
        now = self._clock()
        times = [_IDLE]
        for life in self.lives.values():
            moments = (
                life.again_at if life.status is Status.RESTARTING else 0.0,
                life.kill_at,
                life.check_at,
                life.check_until,
            )
            times += [max(0.0, moment - now) for moment in moments if moment]
        for key, _ in self._selector.select(min(times)):
            self._read(key)

    def _read(self, key: selectors.SelectorKey) -> bool:
        descriptor = key.fd
        try:
            chunk = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return False
        if key.data is None:
            return False
        life, stream, quiet = key.data
        rest = self._rests[descriptor]
        rest += chunk
        *lines, last = rest.split(b"\n") if chunk or rest else [b""]
        if not chunk or len(last) > _LONGEST_LINE:
            lines, last = ([*lines, last] if last else lines), bytearray()
        for line in lines:
            self._line(life, stream, bytes(line), quiet)
        self._rests[descriptor] = bytearray(last)
        if not chunk:
            self._selector.unregister(descriptor)
            os.close(descriptor)
            del self._rests[descriptor]
        return bool(chunk)

    def _line(self, life: Life, stream: int, text: bytes, quiet: bool) -> None:
        if text.strip() and not text[:1].isspace():  # a backtrace is indented; what it explains is not
            life.last_words = text.decode("utf-8", "replace")[:200]
        if life.member.ready_line and life.member.ready_line.encode() in text:
            life.ready = True
        if not quiet:
            self._on_line(Line(life.member.name, stream, text))

    def _drain(self) -> None:
        """Take what is left in the pipes of those that have ended."""
        for key in list(self._selector.get_map().values()):
            if key.data is not None:
                while self._read(key):
                    pass

    def _reap(self) -> None:
        for life in self.lives.values():
            if life.pid and (code := self._ended(life.pid)) is not None:
                self._member_ended(life, code)
            if life.check_pid and (code := self._ended(life.check_pid)) is not None:
                life.check_pid, life.check_until = 0, 0.0
                self._checked(life, code == 0, code == UNHEALTHY)
            life.aides = [pid for pid in life.aides if self._ended(pid) is None]

    def _ended(self, pid: int) -> int | None:
        try:
            found, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return 137
        if not found:
            return None
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def _member_ended(self, life: Life, code: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(life.pid, signal.SIGKILL)  # what it started ends with it, as in a container
        self._drain()
        lasted = self._clock() - life.started
        life.pid, life.code, life.kill_at, life.check_at = 0, code, 0.0, 0.0
        self._end_aides(life)
        life.status = Status.EXITED
        member = life.member
        wants = member.restart in ("always", "unless-stopped") or (member.restart == "on-failure" and code != 0)
        if member.attempts is not None and life.restarts >= member.attempts:
            wants = False
        life.done = self._stopping or not wants
        ended = f"{member.name} exited with code {code}"
        if life.done:
            self._on_end(ended)
            self._on_change(self)
            return
        life.crashes = 1 if lasted > _STEADY else life.crashes + 1
        if code != 0 and life.crashes >= self._patience.crashes:
            life.done = True
            self._on_end(ended)
            self._fail(
                _failure(
                    f'{member.where}: service "{member.service}" ends again and again: {life.crashes} times in a row, '
                    f"the last time with exit code {code}",
                    life,
                )
            )
            return
        pause = min(self._patience.longest, self._patience.first * 2 ** (life.crashes - 1))
        life.status, life.again_at = Status.RESTARTING, self._clock() + pause
        self._on_end(f"{ended}, again in {pause:.2g} s")
        self._on_change(self)

    def _ask_health(self, life: Life) -> None:
        health, check, now = life.member.health, life.member.check, self._clock()
        if not (health and check) or life.status is not Status.RUNNING:
            return
        if life.check_pid and life.check_until and now >= life.check_until:
            _kill(life.check_pid, signal.SIGKILL)
            life.check_until = 0.0
        elif not life.check_pid and life.check_at and now >= life.check_at:
            life.check_pid = self._spawn(check(), life, quiet=True)
            life.check_at, life.check_until = 0.0, now + health.timeout

    def _checked(self, life: Life, well: bool, ill: bool = False) -> None:
        health = life.member.health
        assert health
        now = self._clock()
        young = now - life.started < health.start_period
        life.failures = 0 if well else life.failures + (not young)
        if well:
            life.healthy = True
        elif ill or life.failures >= health.retries:
            life.healthy = False
        life.check_at = now + (health.start_interval if young and not life.healthy else health.interval)
        self._on_change(self)

    def _stop_next(self) -> None:
        """Stop those that nobody who still runs depends on; kill whoever does not listen."""
        now = self._clock()
        for life in self.lives.values():
            if life.status in (Status.WAITING, Status.RESTARTING):
                life.status, life.done = Status.EXITED, True
        needed = {each.service for life in self.lives.values() if not life.done for each in life.member.depends_on}
        for life in self.lives.values():
            if life.status is Status.RUNNING and life.member.service not in needed:
                self._stop(life)
            elif life.status is Status.STOPPING and life.kill_at and now >= life.kill_at:
                _kill(life.pid, signal.SIGKILL)
                life.kill_at = 0.0

    def _stop(self, life: Life) -> None:
        life.status = Status.STOPPING
        life.kill_at = self._clock() + life.member.stop_grace + (5.0 if life.member.stop_job else 0.0)
        if life.member.stop_job:
            life.aides.append(self._spawn(life.member.stop_job(), life, quiet=True))
        else:
            _kill(life.pid, life.member.stop_signal)
        self._on_change(self)

    def _fail(self, error: WasmdockError) -> None:
        """Keep the first error and stop everything."""
        self.error = self.error or error
        self._stopping = True

    def _end_aides(self, life: Life) -> None:
        for pid in life.aides:
            _kill(pid, signal.SIGKILL)

    def _kill_all(self) -> None:
        for life in self.lives.values():
            for pid in filter(None, (life.pid, life.check_pid, *life.aides)):
                _kill(pid, signal.SIGKILL)
                self._bury(pid)
            if life.pid:
                life.status, life.code, life.pid = Status.EXITED, 137, 0
        self._drain()
        self._on_change(self)

    def _bury(self, pid: int) -> None:
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            return


def _failure(message: str, life: Life) -> CommandError:
    """What became of a member, with the last that it or its health check said."""
    said = f'; it said last: "{life.last_words}"' if life.last_words else ""
    return CommandError(f"{message}{said}", f"`wasmdock compose logs {life.member.service}` shows all that it said")


def _has_begun(life: Life) -> bool:
    """Whether it runs, and serves where it is to serve: what `up -d` waits for."""
    if life.status is Status.RUNNING and life.member.ready_line:
        return life.ready
    return life.status is not Status.WAITING


def _has_started(other: Life, _required: bool, _what: str) -> bool:
    if other.status is Status.WAITING:
        return False
    return other.ready or other.done or not other.member.ready_line


def _has_completed(other: Life, required: bool, what: str) -> bool:
    if other.done and other.code != 0 and required:
        raise _failure(f"{what} to complete, which ended with exit code {other.code}", other)
    return other.done or (other.status is Status.EXITED and not required)


def _is_healthy(other: Life, required: bool, what: str) -> bool:
    if not required:
        return bool(other.healthy) or other.done
    if not (other.member.health and other.member.check):
        raise CommandError(f"{what} to be healthy, which has no health check here", "wait for service_started")
    if other.healthy is False:
        raise _failure(f"{what}, which never became healthy", other)
    if other.done and not other.healthy:
        raise _failure(f"{what} to be healthy, which ended with exit code {other.code}", other)
    return bool(other.healthy)


def _kill(pid: int, number: int) -> None:
    """Signal a child; SIGKILL also ends what it started: it leads a group of its own."""
    sends = (os.killpg, os.kill) if number == signal.SIGKILL else (os.kill,)
    for send in sends:
        with suppress(ProcessLookupError, PermissionError):
            send(pid, number)
