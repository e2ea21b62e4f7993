"""A served component on Docker networks: published ports, service names, limits of a request, a clean end."""

import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.requirements import require_cargo
from tests.shim_matrix import RUNTIME, cli, engine_root
from wasmdock.build import build_guest
from wasmdock.builder import Builder
from wasmdock.cli.context import Context
from wasmdock.cli.toolchain import builder_folder, ca_bundle
from wasmdock.docker import Docker
from wasmdock.guest import Target, load_guest
from wasmdock.pack import pack

pytestmark = pytest.mark.docker
ROOT = Path(__file__).parent.parent
SERVED = "wasmdock-shim-test/http-hello:latest"
ADDRESS = os.environ.get("WASMDOCK_ENGINE_ADDRESS", "127.0.0.1")
GREETING = "Hello from wasmdock!\n"

Serve = Callable[..., "Service"]


class Service:
    """A running container of the served component."""

    def __init__(self, name: str) -> None:
        self.name = name
        port = cli("port", name, "8080/tcp").stdout.split("\n")[0].rpartition(":")[2]
        self.url = f"http://{ADDRESS}:{port}"

    def get(self, path: str, timeout: float = 20) -> tuple[int, str]:
        """Status and body of an answer."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def wait(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + 15
        while True:
            try:
                self.get("/", 2)
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def log(self) -> str:
        done = cli("logs", self.name)
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def served() -> str:
    """The image of the http-hello guest, compiled by what this machine has."""
    engine_root()
    require_cargo()
    context, docker = Context(os.environ), Docker.connect(os.environ)
    made = build_guest(
        load_guest(ROOT / "dockerfiles/http-hello"),
        Target.WASIP2,
        cache=context.cache,
        environment=os.environ,
        engine=lambda: docker,
        builder=Builder(builder_folder(), os.environ, ca_bundle(context)),
    )
    docker.load(pack(made.artifact), SERVED)
    return SERVED


@pytest.fixture
def serve(served: str) -> Iterator[Serve]:
    """Starts services that are gone after the test."""
    names: list[str] = []

    def start(*options: str, ready: bool = True) -> Service:
        name = f"shim-test-{os.getpid()}-{time.monotonic_ns()}"
        names.append(name)
        arguments = ("--detach", "--pull=never", f"--name={name}", "--publish=8080", *RUNTIME, *options)
        done = cli("run", *arguments, served)
        assert done.returncode == 0, done.stderr
        service = Service(name)
        if ready:
            service.wait()
        return service

    yield start
    for name in names:
        cli("rm", "--force", name)


def test_published_port_answers(serve: Serve) -> None:
    assert serve().get("/") == (200, GREETING)


@pytest.mark.parametrize("processes", [2, 8])
def test_few_processes_are_enough_to_serve(serve: Serve, processes: int) -> None:
    assert serve(f"--pids-limit={processes}").get("/") == (200, GREETING)


def test_each_request_has_an_instance_of_its_own(serve: Serve) -> None:
    service = serve()
    assert [service.get("/count")[1] for _ in range(3)] == ["1\n"] * 3


def test_body_is_streamed_back(serve: Serve) -> None:
    service = serve()
    body = b"x" * 300_000
    with urllib.request.urlopen(f"{service.url}/echo", data=body, timeout=20) as answer:
        assert answer.read() == body


def test_guests_output_is_in_the_log_with_the_request(serve: Serve) -> None:
    service = serve()
    service.get("/log")
    lines = [line for line in service.log().splitlines() if "a line on" in line]
    assert sorted(line.partition("] ")[2] for line in lines) == ["a line on stderr", "a line on stdout"]
    assert len({line.partition("] ")[0] for line in lines}) == 1


def test_guest_in_a_loop_is_cut_off_and_others_are_served(serve: Serve) -> None:
    service = serve("--env=WASMDOCK_TIMEOUT=500ms")
    with ThreadPoolExecutor(8) as threads:
        spinning = [threads.submit(service.get, "/spin") for _ in range(4)]
        assert service.get("/") == (200, GREETING)
        assert {future.result()[0] for future in spinning} == {504}
    assert "time limit" in service.log()


def test_sleeping_guest_is_cut_off(serve: Serve) -> None:
    assert serve("--env=WASMDOCK_TIMEOUT=500ms").get("/sleep?ms=60000")[0] == 504


def test_guest_out_of_memory_fails_alone(serve: Serve) -> None:
    service = serve("--env=WASMDOCK_MEMORY=32m")
    assert service.get("/grow")[0] == 500
    assert service.get("/") == (200, GREETING)
    assert "out of memory" in service.log()


def test_panic_is_in_the_log(serve: Serve) -> None:
    service = serve()
    assert service.get("/panic")[0] == 500
    assert "asked to panic" in service.log()
    assert "wasm trap: " in service.log()


@pytest.mark.parametrize("signal", ["INT", "TERM"])
def test_stop_lets_a_request_finish(serve: Serve, signal: str) -> None:
    service = serve()
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(service.get, "/sleep?ms=1500")
        time.sleep(0.5)
        cli("kill", f"--signal={signal}", service.name)
        assert slow.result() == (200, "slept 1500 ms\n")
    assert cli("wait", service.name).stdout.strip() == "0"


def test_idle_service_stops_at_once(serve: Serve) -> None:
    service = serve()
    began = time.monotonic()
    cli("stop", service.name)
    assert time.monotonic() - began < 2


def test_address_and_name_of_runwasi_are_understood(serve: Serve) -> None:
    service = serve("--env=WASMTIME_HTTP_PROXY_SOCKET_ADDR=0.0.0.0:9000", "--publish=9000", ready=False)
    deadline = time.monotonic() + 10
    while ":9000/" not in service.log():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_service_name_is_found_on_a_network_of_its_own(serve: Serve, served: str) -> None:
    if cli("image", "inspect", "debian:trixie-slim").returncode != 0:
        pytest.skip("the engine has no image debian:trixie-slim to ask from")
    network = f"shim-test-{os.getpid()}"
    assert cli("network", "create", network).returncode == 0
    try:
        service = serve(f"--network={network}", "--network-alias=web")
        request = r"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n"
        ask = f"exec 3<>/dev/tcp/web/8080; printf '{request}' >&3; cat <&3"
        done = cli("run", "--rm", f"--network={network}", "debian:trixie-slim", "bash", "-c", ask)
        assert GREETING in done.stdout, done.stderr
        cli("rm", "--force", service.name)
    finally:
        cli("network", "rm", network)


def test_service_on_the_network_of_the_host(served: str) -> None:
    name = f"shim-test-host-{os.getpid()}"
    options = ("--network=host", "--env=WASMDOCK_HTTP_ADDRESS=127.0.0.1:18480")
    assert cli("run", "--detach", f"--name={name}", *RUNTIME, *options, served).returncode == 0
    try:
        deadline = time.monotonic() + 10
        while "serving on http://127.0.0.1:18480/" not in cli("logs", name).stderr:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        cli("rm", "--force", name)
