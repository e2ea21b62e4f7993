"""What a supervisor runs: members, and what is known of their lives."""

import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from wasmdock.compose_child import Job
from wasmdock.compose_service import Dependency, Health

UNHEALTHY = 3  # the exit code of a check that knows there is no hope


class Status(StrEnum):
    """Where a member is in its life; the word is what `ps` shows."""

    WAITING = "waiting"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class Patience:
    """Restarts: seconds before the first and at most, doubled each time; how many crashes in a row are a loop."""

    first: float = 0.1
    longest: float = 60.0
    crashes: int = 10


@dataclass(frozen=True, slots=True)
class Member:
    """One instance of a service: what runs, when it may start, how it is stopped and asked for its health.

    job is called at each start. stop_job, where given, is run to stop it in place of a signal. check gives the job
    of one health check; ready_line is a text on stderr that says that it serves. after_start is called once it runs.
    """

    name: str
    service: str
    job: Callable[[], Job]
    where: str = ""
    depends_on: tuple[Dependency, ...] = ()
    restart: str = "no"
    attempts: int | None = None
    stop_signal: int = signal.SIGTERM
    stop_grace: float = 10.0
    stop_job: Callable[[], Job] | None = None
    health: Health | None = None
    check: Callable[[], Job] | None = None
    ready_line: str = ""
    after_start: Callable[[], Iterable[Job]] | None = None
    ports: str = ""
    road: str = "process"
    is_guest: bool = False  # it runs in a copy of this process


@dataclass(slots=True)
class Life:
    """What is known of a member right now."""

    member: Member
    status: Status = Status.WAITING
    pid: int = 0
    code: int | None = None
    healthy: bool | None = None
    ready: bool = False
    restarts: int = 0
    crashes: int = 0
    started: float = 0.0
    again_at: float = 0.0
    kill_at: float = 0.0
    check_at: float = 0.0
    check_pid: int = 0
    check_until: float = 0.0
    failures: int = 0
    aides: list[int] = field(default_factory=list)
    last_words: str = ""
    done: bool = False  # it never starts again


@dataclass(frozen=True, slots=True)
class Line:
    """A line a member printed: its name, 1 or 2 for stdout or stderr, the bytes without their end."""

    name: str
    stream: int
    text: bytes
