"""Guests under guard: pipes that flow, clocks that run out, a thread that notices."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wasmdock.errors import UnavailableError
from wasmdock.stack import with_stack
from wasmdock.watch import Guard, Pipe, Watch


@contextlib.contextmanager
def over(watch: Watch, guard: Guard) -> Iterator[None]:
    """Watch over one guest for as long as the block lasts."""
    watch.add(guard)
    try:
        yield
    finally:
        watch.remove(guard)


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def writer() -> Iterator["Writer"]:
    with Writer() as opened:
        yield opened


class Writer:
    """A guest's end of a pipe: opened by its path, as wasmtime does it."""

    def __init__(self) -> None:
        self._descriptors: list[int] = []

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, pipe: Pipe, data: bytes) -> None:
        self._descriptors.append(os.open(pipe.path, os.O_WRONLY))
        assert os.write(self._descriptors[-1], data) == len(data)

    def close(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())


def test_pipe_gives_all_that_was_written_to_its_path(writer: Writer) -> None:
    pipe = Pipe(None)
    writer.write(pipe, b"one ")
    assert pipe.drain()
    writer.write(pipe, b"two")
    assert pipe.finish() == b"one two"


def test_draining_an_empty_pipe_does_not_wait() -> None:
    pipe = Pipe(None)
    assert not pipe.drain()
    assert pipe.finish() == b""


def test_pipe_keeps_no_more_than_its_cap_and_says_so(writer: Writer) -> None:
    pipe = Pipe(4)
    writer.write(pipe, b"1234")
    pipe.drain()
    assert not pipe.overflowed, "the cap itself still fits"
    writer.write(pipe, b"5")
    assert pipe.finish() == b"1234"
    assert pipe.overflowed


def test_finished_pipe_is_used_again_and_starts_empty(writer: Writer) -> None:
    first = Pipe(2)
    writer.write(first, b"left over")
    path = first.path
    first.finish()
    writer.close()
    second = Pipe(None)
    assert second.path == path
    assert (second.finish(), second.overflowed) == (b"", False)


def test_finished_pipe_can_be_drained_and_finished_again(writer: Writer) -> None:
    pipe = Pipe(None)
    writer.write(pipe, b"once")
    assert pipe.finish() == b"once"
    assert (pipe.reader, pipe.drain(), pipe.finish()) == (-1, False, b"once")


def test_many_pipes_at_once_leave_few_descriptors() -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    for pipe in [Pipe(None) for _ in range(60)]:
        pipe.finish()
    assert len(list(Path("/dev/fd").iterdir())) - before <= 2 * 16


def test_guard_lets_a_guest_run_until_its_deadline(clock: FakeClock) -> None:
    guard = Guard(5.0, clock=clock)
    clock.now += 4.9
    assert not guard.should_stop()
    clock.now += 0.1
    assert guard.should_stop()
    assert guard.reason == "timeout"


def test_guard_without_a_timeout_never_stops_a_guest(clock: FakeClock) -> None:
    guard = Guard(clock=clock)
    clock.now += 1e9
    guard.look()
    assert not guard.should_stop()


def test_guest_whose_end_is_not_waited_for_is_left_behind() -> None:
    """A second Ctrl-C: its pipes must not be another guest's."""

    class Thread(threading.Thread):
        def join(self, timeout: float | None = None) -> None:
            raise KeyboardInterrupt

    guard = Guard()
    with pytest.raises(KeyboardInterrupt):
        guard.leave(Thread())
    assert (guard.left_behind, guard.reason) == (True, "interrupt")


def test_first_reason_to_stop_stands(clock: FakeClock) -> None:
    guard = Guard(1.0, clock=clock)
    guard.stop("asked")
    clock.now += 2
    assert guard.should_stop()
    assert guard.reason == "asked"


def test_guard_stops_a_guest_that_printed_too_much(clock: FakeClock, writer: Writer) -> None:
    pipe = Pipe(1)
    guard = Guard(pipes=(pipe,), clock=clock)
    writer.write(pipe, b"two")
    pipe.drain()
    guard.look()
    pipe.finish()
    assert (guard.should_stop(), guard.reason) == (True, "output")


def test_stuck_guest_is_reported_once_after_the_grace(clock: FakeClock) -> None:
    stuck: list[Guard] = []
    guard = Guard(1.0, on_stuck=stuck.append, grace=0.5, clock=clock)
    for moment in (0.9, 1.0, 1.4):
        clock.now = 100.0 + moment
        guard.look()
        assert stuck == [], f"after {moment} s"
    for moment in (1.5, 1.6, 9.0):
        clock.now = 100.0 + moment
        guard.look()
    assert stuck == [guard]


def test_guest_told_to_stop_by_its_own_thread_still_has_the_grace(clock: FakeClock) -> None:
    stuck: list[Guard] = []
    guard = Guard(1.0, on_stuck=stuck.append, grace=0.5, clock=clock)
    clock.now += 2
    assert guard.should_stop()
    guard.look()
    assert stuck == []


def test_watch_ticks_only_while_something_runs() -> None:
    ticked = threading.Event()
    watch = Watch(ticked.set)
    assert not ticked.wait(0.05)
    with over(watch, Guard()):
        assert ticked.wait(10)


def test_watch_ends_its_thread_where_nothing_runs_and_starts_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wasmdock.watch._IDLE", 0.01)
    ticked = threading.Event()
    watch = Watch(ticked.set)
    with over(watch, Guard()):
        assert ticked.wait(10)
    until = time.monotonic() + 10
    while watch._thread is not None and time.monotonic() < until:
        time.sleep(0.01)
    assert watch._thread is None
    ticked.clear()
    with over(watch, Guard()):
        assert ticked.wait(10)


def test_thread_that_cannot_be_started_is_an_error_and_not_taken_for_one_that_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_room(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    ticked = threading.Event()
    watch = Watch(ticked.set)
    with monkeypatch.context() as patch, pytest.raises(UnavailableError, match="can't start new thread"):
        patch.setattr(threading.Thread, "start", no_room)
        watch.add(Guard())
    with over(watch, Guard()):
        assert ticked.wait(10)


def test_watch_over_one_guest_survives_what_the_owner_of_another_does_wrong() -> None:
    def fail(_: Guard) -> None:
        raise OSError("no space left")

    stuck = threading.Event()
    watch = Watch(lambda: None)
    with (
        over(watch, Guard(0.01, on_stuck=fail, grace=0.01)),
        over(watch, Guard(0.3, on_stuck=lambda _: stuck.set(), grace=0.01)),
    ):
        assert stuck.wait(10)


def test_watch_empties_the_pipe_of_a_guest_that_prints_for_long() -> None:
    pipe = Pipe(None)
    guard = Guard(10.0, pipes=(pipe,))
    with over(Watch(lambda: None), guard), Path(pipe.path).open("wb", buffering=0) as guest:
        for _ in range(64):
            guest.write(bytes(1 << 16))  # waits for ever where nobody empties the pipe
    assert len(pipe.finish()) == 64 << 16


def test_watch_reports_a_guest_that_does_not_listen() -> None:
    stuck = threading.Event()
    with over(Watch(lambda: None), Guard(0.01, on_stuck=lambda _: stuck.set(), grace=0.01)):
        assert stuck.wait(10)


def test_watch_leaves_alone_a_guest_that_ended_in_time() -> None:
    stuck = threading.Event()
    watch = Watch(lambda: None)
    with over(watch, Guard(0.05, on_stuck=lambda _: stuck.set(), grace=0.0)):
        pass
    assert not stuck.wait(0.2)


def test_guest_that_goes_on_after_ctrl_c_is_known_to_be_left_behind() -> None:
    """Else its pipes would be given to the next guest, with all that it still prints."""
    guard, over_at_last = Guard(), threading.Event()

    def work() -> None:
        time.sleep(0.1)  # until it is waited for
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        over_at_last.wait(20)

    with pytest.raises(KeyboardInterrupt):
        with_stack(512 << 10, work, guard.leave, apart=True)
    over_at_last.set()
    assert guard.left_behind
