"""The supervisor with real children: order, restarts, health, stopping."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wasmdock.compose_child import Job, Program
from wasmdock.compose_member import Line, Member, Patience
from wasmdock.compose_service import COMPLETED, HEALTHY, STARTED, Dependency, Health
from wasmdock.compose_supervisor import Supervisor
from wasmdock.errors import UnavailableError

PATIENCE = Patience(first=0.01, longest=0.05, crashes=3)
FOREVER = "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done"


def shell(script: str) -> Callable[[], Job]:
    return lambda: Program(("sh", "-c", script), {"PATH": os.environ["PATH"]})


def member(name: str, script: str, *needs: tuple[str, str], **rest: Any) -> Member:
    dependencies = tuple(Dependency(service, condition, line=7) for service, condition in needs)
    return Member(f"{name}-1", name, shell(script), f"c.yaml:{len(name)}", dependencies, **rest)


class Watched:
    """A supervisor whose lines are kept, and which a line can make do something."""

    def __init__(self, *members: Member, on: dict[str, Callable[["Watched"], None]] | None = None) -> None:
        self.lines: list[str] = []
        self.ends: list[str] = []
        self._on = on or {}
        self.supervisor = Supervisor(members, self._take, on_end=self.ends.append, patience=PATIENCE)

    def _take(self, line: Line) -> None:
        text = f"{line.name}: {line.text.decode()}"
        self.lines.append(text)
        if text in self._on:
            self._on[text](self)

    def run(self) -> "Watched":
        self.supervisor.run()
        return self

    def codes(self) -> dict[str, int | None]:
        return {name: life.code for name, life in self.supervisor.lives.items()}

    @property
    def error(self) -> str:
        return self.supervisor.error.message if self.supervisor.error else ""


@pytest.fixture(autouse=True)
def no_child_left() -> Iterator[None]:
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def stop(watched: Watched) -> None:
    watched.supervisor.stop()


def test_all_run_and_their_lines_and_codes_are_kept() -> None:
    watched = Watched(member("a", "echo one; echo two >&2; exit 3"), member("b", "printf half")).run()
    assert set(watched.lines) == {"a-1: one", "a-1: two", "b-1: half"}
    assert watched.codes() == {"a-1": 3, "b-1": 0}
    assert set(watched.ends) == {"a-1 exited with code 3", "b-1 exited with code 0"}


def test_service_starts_once_the_one_it_needs_has_completed() -> None:
    watched = Watched(member("b", "echo b", ("a", COMPLETED)), member("a", "sleep 0.1; echo a")).run()
    assert watched.lines == ["a-1: a", "b-1: b"]


def test_failed_dependency_is_an_error_with_its_line_and_nothing_more_starts() -> None:
    watched = Watched(member("a", "exit 4"), member("b", "echo b", ("a", COMPLETED))).run()
    assert watched.error == 'c.yaml:7: service "b" waits for "a" to complete, which ended with exit code 4'
    assert watched.lines == []


def test_service_starts_once_the_one_it_needs_is_healthy(tmp_path: Path) -> None:
    health = Health(("CMD", "x"), interval=0.02, timeout=1, retries=100)
    check = shell(f"test -e {tmp_path}/ready")
    first = member("a", f"sleep 0.1; touch {tmp_path}/ready; {FOREVER}", health=health, check=check)
    watched = Watched(first, member("b", "echo b", ("a", HEALTHY)), on={"b-1: b": stop}).run()
    assert watched.lines == ["a-1: up", "b-1: b"]


def test_service_that_never_becomes_healthy_stops_all() -> None:
    health = Health(("CMD", "x"), interval=0.01, timeout=1, retries=3)
    first = member("a", FOREVER, health=health, check=shell("echo not yet; exit 1"))
    watched = Watched(first, member("b", "echo b", ("a", HEALTHY))).run()
    said = 'which never became healthy; it said last: "not yet"'
    assert watched.error == f'c.yaml:7: service "b" waits for "a", {said}'
    assert watched.codes()["a-1"] == 0


def test_waiting_for_the_health_of_one_without_check_is_an_error() -> None:
    watched = Watched(member("a", FOREVER), member("b", "true", ("a", HEALTHY))).run()
    assert watched.error == 'c.yaml:7: service "b" waits for "a" to be healthy, which has no health check here'


def test_health_check_that_hangs_counts_as_failed() -> None:
    health = Health(("CMD", "x"), interval=0.01, timeout=0.05, retries=2)
    first = member("a", FOREVER, health=health, check=shell("sleep 60"))
    assert "never became healthy" in Watched(first, member("b", "true", ("a", HEALTHY))).run().error


def test_service_is_restarted_on_failure_until_it_succeeds(tmp_path: Path) -> None:
    script = f"echo x >> {tmp_path}/tries; test $(wc -l < {tmp_path}/tries) -ge 3"
    watched = Watched(member("a", script, restart="on-failure")).run()
    assert watched.codes() == {"a-1": 0}
    assert watched.supervisor.lives["a-1"].restarts == 2


def test_restarts_end_after_the_attempts_allowed() -> None:
    watched = Watched(member("a", "exit 1", restart="on-failure", attempts=2)).run()
    assert watched.supervisor.lives["a-1"].restarts == 2
    assert watched.error == ""


def test_crash_loop_is_an_error_with_the_last_words() -> None:
    watched = Watched(member("a", "echo no config; exit 9", restart="always"), member("b", FOREVER)).run()
    assert (
        watched.error
        == 'c.yaml:1: service "a" ends again and again: 3 times in a row, the last time with exit code 9; '
        'it said last: "no config"'
    )
    assert watched.supervisor.error and "wasmdock compose logs a" in watched.supervisor.error.hint
    again = [f"a-1 exited with code 9{then}" for then in (", again in 0.01 s", ", again in 0.02 s", "")]
    assert watched.ends == [*again, "b-1 exited with code 0"]
    assert watched.codes()["b-1"] == 0


def test_services_stop_in_the_reverse_order_of_their_start() -> None:
    script = "trap 'echo down; exit 0' TERM; echo up; while :; do sleep 0.01; done"
    first = member("a", script, ready_line="up")
    watched = Watched(first, member("b", script, ("a", STARTED)), on={"b-1: up": stop}).run()
    assert watched.lines[-2:] == ["b-1: down", "a-1: down"]


def test_stop_signal_is_the_services_own() -> None:
    script = "trap 'echo got INT; exit 0' INT; echo up; while :; do sleep 0.01; done"
    watched = Watched(member("a", script, stop_signal=signal.SIGINT), on={"a-1: up": stop}).run()
    assert watched.lines == ["a-1: up", "a-1: got INT"]


def test_service_that_does_not_listen_is_killed_after_its_grace() -> None:
    script = "trap '' TERM; echo up; while :; do sleep 0.01; done"
    began = time.monotonic()
    watched = Watched(member("a", script, stop_grace=0.1), on={"a-1: up": stop}).run()
    assert watched.codes() == {"a-1": 137}
    assert 0.1 < time.monotonic() - began < 5


def test_asked_twice_all_are_killed_at_once() -> None:
    script = "trap '' TERM; echo up; while :; do sleep 0.01; done"

    def twice(watched: Watched) -> None:
        stop(watched)
        stop(watched)

    began = time.monotonic()
    watched = Watched(member("a", script, stop_grace=60), on={"a-1: up": twice}).run()
    assert watched.codes() == {"a-1": 137}
    assert time.monotonic() - began < 5


def test_ctrl_c_stops_all() -> None:
    threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    watched = Watched(member("a", FOREVER)).run()
    assert watched.codes() == {"a-1": 0}
    assert watched.supervisor.was_stopped


def test_program_that_is_not_there_ends_with_its_reason() -> None:
    nowhere = Member("a-1", "a", lambda: Program(("no-such-program",), {"PATH": "/bin"}))
    watched = Watched(nowhere).run()
    assert watched.codes() == {"a-1": 125}
    assert "No such file" in watched.lines[0]


def test_job_that_cannot_be_made_is_the_projects_error() -> None:
    def refuse() -> Job:
        raise UnavailableError("c.yaml:3: the port is in use")

    watched = Watched(Member("a-1", "a", refuse)).run()
    assert watched.error == "c.yaml:3: the port is in use"


def test_many_lines_come_whole() -> None:
    watched = Watched(member("a", "i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done")).run()
    assert watched.lines == [f"a-1: line {number}" for number in range(5000)]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own promise is Linux'")
def test_children_of_a_killed_supervisor_are_gone(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        told = Supervisor(
            [member("a", "echo $$; exec sleep 600")], lambda line: None if os.write(writer, line.text) else None
        )
        told.run()
        os._exit(0)
    child = int(os.read(reader, 100))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert _gone(child)


def _gone(pid: int) -> bool:
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False
