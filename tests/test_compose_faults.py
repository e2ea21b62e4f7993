"""What a project leaves behind when something in it is killed: a guest, wasmdock, or the engine's answer."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.requirements import require_cargo, require_docker
from tests.test_compose_scenarios import Scenario, ask, natives
from tests.test_compose_up import Project, eventually, gone, project, running

__all__ = ["project"]


def test_killed_guest_is_named_and_the_rest_goes_on(project: Project) -> None:
    project.pack("sleep_hour").write("a: {image: sleep-hour}", "b: {image: sleep-hour}")
    project("up", "-d")
    os.kill(project.wait("a-1", "running"), signal.SIGKILL)
    assert eventually(lambda: project.rows()["a-1"]["status"] == "exited (137)")
    assert project.rows()["b-1"]["status"] == "running"


def test_killed_supervisor_takes_its_services_along(project: Project) -> None:
    project.pack("sleep_hour").write("a: {image: sleep-hour}", "b: {image: sleep-hour, restart: always}")
    project("up", "-d")
    pids = [project.wait("a-1", "running"), project.wait("b-1", "running")]
    state = Path(project.line.environment["WASMDOCK_HOME"]) / "compose" / "project"
    os.kill(int(json.loads((state / "state.json").read_text())["pid"]), signal.SIGKILL)
    assert all(map(gone, pids))
    assert {row["status"] for row in project.rows().values()} == {"killed with wasmdock"}
    assert project("up", "-d").code == 0
    assert not any(map(running, pids))
    assert project("down").code == 0
    assert {each.name for each in state.iterdir()} <= {"lock"}


class Road:
    """The engine's socket behind one of our own, which can be cut off and given back."""

    def __init__(self, path: Path, engine: str) -> None:
        self.url = f"unix://{path}"
        self._path, self._engine = path, engine
        self._ends: list[socket.socket] = []
        self.open()

    def open(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        for end in (self._listener, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends = []
        self._path.unlink(missing_ok=True)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                ours, _ = listener.accept()
                theirs = socket.socket(socket.AF_UNIX)
                theirs.connect(self._engine)
                self._ends += [ours, theirs]
                for source, target in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(1 << 16):
            target.sendall(chunk)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def client(folder: Path, engine: str) -> Path:
    """A folder for PATH: a docker client that goes where DOCKER_HOST says, as that of scripts/engine does not."""
    (folder / "bin").mkdir()
    text = Path(shutil.which("docker") or "").read_bytes()
    if b"nsenter" in text:
        text = text.replace(b"at=${DOCKER_HOST#unix://}", f"at={engine}".encode()).replace(b"--unset=DOCKER_HOST ", b"")
        (folder / "bin" / "docker").write_bytes(text)
        (folder / "bin" / "docker").chmod(0o755)
    return folder / "bin"


@pytest.fixture
def cut_off(tmp_path: Path) -> Iterator[Callable[[], tuple[Scenario, Road]]]:
    made: list[tuple[Scenario, Road]] = []

    def make() -> tuple[Scenario, Road]:
        engine = require_docker().removeprefix("unix://")
        require_cargo()
        natives()
        web = Scenario("web", tmp_path / "home")
        road = Road(tmp_path / "engine.sock", engine)
        web.environment |= {"DOCKER_HOST": road.url, "PATH": f"{client(tmp_path, engine)}:{os.environ['PATH']}"}
        made.append((web, road))
        return web, road

    yield make
    for web, road in made:
        road.cut()
        web.environment = {**os.environ, "WASMDOCK_HOME": web.environment["WASMDOCK_HOME"]}
        web("down", "-v")
        web.docker("down", "-v", "--remove-orphans")


@pytest.mark.docker
@pytest.mark.cargo
def test_engine_that_answers_no_more_is_named_and_nothing_is_forgotten(
    cut_off: Callable[[], tuple[Scenario, Road]],
) -> None:
    web, road = cut_off()
    assert web("up", "-d", "--on", "process").returncode == 0
    assert eventually(lambda: ask("/health") == "PONG\n"), web("logs").stdout
    pid = int(str(web.rows()["api-1"]["pid"]))
    road.cut()
    assert eventually(lambda: str(web.rows()["redis-1"]["status"]).startswith("exited"))
    assert running(pid)  # what needs no engine goes on
    done = web("down")
    assert done.returncode == 1
    assert f'removing the containers of project "{web.project}" (redis, proxy)' in done.stderr
    assert gone(pid)
    road.open()
    assert web("down").returncode == 0
    left = ["docker", "ps", "--all", "--quiet", f"--filter=label=com.docker.compose.project={web.project}"]
    assert subprocess.run(left, capture_output=True, check=True).stdout == b""
