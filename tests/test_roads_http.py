"""The served guest on both roads: the same answers, each from an instance of its own, and the same end."""

import http.client
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import CommandLine
from tests.requirements import require_cargo, require_docker
from tests.test_compose_wire import free
from wasmdock.http_host import find_host

ROOT = Path(__file__).parent.parent
ANSWERS = (
    # method, path, body, status, what is answered
    ("GET", "/", b"", 200, b"Hello from wasmdock!\n"),
    ("GET", "/echo?a=1", b"", 200, b"method: GET\npath: /echo\nquery: a=1\n"),
    ("POST", "/echo", b"x" * 100_000, 200, b"x" * 100_000),
    ("GET", "/count", b"", 200, b"1\n"),
    ("GET", "/count", b"", 200, b"1\n"),
    ("GET", "/sleep?ms=20", b"", 200, b"slept 20 ms\n"),
    ("GET", "/sleep", b"", 400, b"usage: /sleep?ms=N\n"),
)
pytestmark = [
    pytest.mark.cargo,
    pytest.mark.skipif(sys.platform != "linux", reason="served without an engine on Linux"),
]


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def served(request: pytest.FixtureRequest, wasmdock: CommandLine) -> Iterator[tuple[str, int]]:
    """Host and port of a running server, ended by SIGTERM, which it has to obey with 0."""
    require_cargo()
    road = str(request.param)
    if road == "docker":
        require_docker()
    elif find_host(Path(sys.executable).parent, Path.home() / ".cache" / "wasmdock") is None:
        pytest.skip("no wasmdock-host: scripts/shim builds it")
    host = os.environ.get("WASMDOCK_ENGINE_ADDRESS", "127.0.0.1") if road == "docker" else "127.0.0.1"
    port = free()
    line = CommandLine({**os.environ, "WASMDOCK_HOME": wasmdock.environment["WASMDOCK_HOME"]})
    place = f"{port}:8080" if road == "docker" else f"127.0.0.1:{port}:8080"
    with line.start("run", "--on", road, "-p", place, ROOT / "dockerfiles" / "http-hello") as process:
        try:
            _wait_for(host, port)
            yield host, port
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()


def _wait_for(host: str, port: int) -> None:
    until = time.monotonic() + 240
    while time.monotonic() < until:
        try:
            if _ask(host, port, "GET", "/", b"")[0] == 200:
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
    raise AssertionError("it does not answer")


def _ask(host: str, port: int, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=20)
    try:
        connection.request(method, path, body or None)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_served_guest_answers_alike_on_every_road(served: tuple[str, int]) -> None:
    host, port = served
    got = [_ask(host, port, method, path, body) for method, path, body, _, _ in ANSWERS]
    assert got == [(status, answer) for *_, status, answer in ANSWERS]
