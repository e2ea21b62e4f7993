"""What a project that runs in-process leaves on disk: who runs it, what its services do, and what they printed."""

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wasmdock.aside import write_aside
from wasmdock.digits import read_digits
from wasmdock.errors import UnavailableError, UsageError

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]  # `hold` asks

_TICK = 0.05
_IN_DOCKER = "in-docker"
_LOG_CAP = 64 << 20  # bytes; then the log begins anew, the old half beside it


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log: nanoseconds since 1970, the member's name, 1 or 2, the text."""

    at: int
    name: str
    stream: int
    text: str


class State:
    """A project's folder. It is held by the supervisor through a lock that dies with it."""

    def __init__(self, root: Path, project: str) -> None:
        """Name the folder; nothing is made yet."""
        self.project = project
        self.folder = root / project
        self._lock = -1

    def hold(self) -> None:
        """Become the one who runs the project. Raises UsageError where another does."""
        if fcntl is None:
            raise UnavailableError("running services in-process: not on this system", "use --on docker")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise UsageError(
                f'starting project "{self.project}": it runs already', f"wasmdock compose -p {self.project} down"
            ) from error
        self._lock = handle

    def claim(self) -> None:
        """Write our pid into the lock, for those who want us to stop."""
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Give the lock back."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def holder(self) -> int:
        """The pid of the supervisor that runs the project now, or 0."""
        try:
            handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return 0
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return read_digits(os.pread(handle, 20, 0).decode("ascii", "replace")) or 0
        finally:
            os.close(handle)
        return 0

    def end(self, grace: float) -> bool:
        """Ask the supervisor to stop everything, kill it after `grace` seconds; False where none ran."""
        pid = self.holder()
        if not pid:
            return False
        until = time.monotonic() + grace
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        while self.holder() == pid:
            if time.monotonic() > until:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)  # its children go with it
                until += grace
            time.sleep(_TICK)
        return True

    def write(self, document: Mapping[str, Any]) -> None:
        """Keep what the services do, whole or not at all."""
        write_aside(self.folder / "state.json", json.dumps(document).encode())

    def read(self) -> dict[str, Any]:
        """What was kept last; empty where nothing was."""
        try:
            found = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def give_to_docker(self) -> None:
        """Forget what ran in-process: from now on docker compose runs the project."""
        self.forget()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.folder / _IN_DOCKER).touch()

    @property
    def is_in_docker(self) -> bool:
        """Whether docker compose was given the project, and nobody has removed it since."""
        return (self.folder / _IN_DOCKER).exists()

    @property
    def log(self) -> Path:
        """The log's file."""
        return self.folder / "log.jsonl"

    def forget(self) -> None:
        """Remove all but named volumes."""
        for name in (
            "state.json",
            "log.jsonl",
            "log.jsonl.old",
            "hosts",
            "linux.json",
            "override.json",
            "provided.json",
            _IN_DOCKER,
        ):
            with suppress(OSError):
                (self.folder / name).unlink()


class LogWriter:
    """Appends lines to a log; it is cut where it grows too long."""

    def __init__(self, path: Path) -> None:
        """Begin the log anew."""
        self._path = path
        self._file = path.open("w", encoding="utf-8", buffering=1)

    def write(self, entry: Entry) -> None:
        """Append one line."""
        self._file.write(json.dumps([entry.at, entry.name, entry.stream, entry.text]) + "\n")
        if self._file.tell() > _LOG_CAP:
            self._file.close()
            self._path.replace(f"{self._path}.old")
            self._file = self._path.open("w", encoding="utf-8", buffering=1)


def read_log(path: Path) -> Iterator[Entry]:
    """The lines kept so far; one half written is left out."""
    for each in (Path(f"{path}.old"), path):
        with suppress(FileNotFoundError), each.open(encoding="utf-8") as file:
            for line in file:
                with suppress(ValueError):
                    yield Entry(*json.loads(line))


def follow_log(state: State) -> Iterator[Entry]:
    """All lines kept, and those to come while the project runs."""
    position = 0
    while True:
        running = state.holder()
        with suppress(FileNotFoundError), state.log.open(encoding="utf-8") as file:
            file.seek(position)
            while (line := file.readline()).endswith("\n"):
                yield Entry(*json.loads(line))
                position = file.tell()
        if not running:
            return
        time.sleep(_TICK)
