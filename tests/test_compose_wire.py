"""Ports between worlds: relays, names, and wasi:http services behind a stand-in for wasmdock-host."""

import ipaddress
import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import CommandLine
from tests.test_compose_up import Project, eventually
from wasmdock.compose import load_stack
from wasmdock.compose_file import find_sources
from wasmdock.compose_linux import Ground, linux_document, ports_of
from wasmdock.compose_wire import addresses, open_wire, relay, write_hosts
from wasmdock.errors import UnavailableError

HTTP = '(component (instance $handler) (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))'
# Says that it serves, does so, and shows what it was told.
HOST = f"""#!{sys.executable}
import json, os, socket, sys
if sys.argv[1:2] == ["compile"]:
    sys.stdout.buffer.write(sys.stdin.buffer.read())
    sys.exit(0)
host, _, port = json.loads(os.environ["WASMDOCK_LAUNCH"])["settings"]["address"].rpartition(":")
listener = socket.create_server((host, int(os.environ.get("LISTEN", port))))
print("wasmdock: serving on http://%s:%s/" % listener.getsockname(), file=sys.stderr, flush=True)
while True:
    client, _ = listener.accept()
    client.sendall(os.environ.get("GREETING", "").encode())
    client.settimeout(0.2)
    try:
        client.recv(1000)  # closed with a request unread, the connection would be reset, and the answer lost
    except OSError:
        pass
    client.close()
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a whole network on the loopback is Linux'")


def talk(host: str, port: int) -> bytes:
    with socket.create_connection((host, port), 5) as client:
        return client.recv(100)


def free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def project(tmp_path: Path, wasmdock: CommandLine) -> Iterator[Project]:
    shim = tmp_path / "shim"
    shim.mkdir()
    (shim / "wasmdock-host").write_text(HOST)
    (shim / "wasmdock-host").chmod(0o755)
    (tmp_path / "project").mkdir()
    (tmp_path / "web.wat").write_text(HTTP)
    made = Project(tmp_path / "project", CommandLine({**wasmdock.environment, "WASMDOCK_SHIM": str(shim)}))
    assert made.line("pack", tmp_path / "web.wat", "-t", "web", "--name", "web").code == 0
    yield made
    if (made.folder / "compose.yaml").exists():
        made("down")


def test_relay_passes_both_ways_and_an_end() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    wire = open_wire("127.0.0.1", 0, lambda: server.getsockname(), "a service")
    threading.Thread(target=relay, args=([wire],), daemon=True).start()
    with socket.create_connection(wire.listener.getsockname(), 5) as client:
        other, _ = server.accept()
        client.sendall(b"there")
        client.shutdown(socket.SHUT_WR)
        assert (other.recv(10), other.recv(10)) == (b"there", b"")
        other.sendall(b"back")
        other.close()
        assert (client.recv(10), client.recv(10)) == (b"back", b"")


def test_taken_port_is_one_line() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(UnavailableError, match="address already in use"),
    ):
        open_wire("127.0.0.1", taken.getsockname()[1], lambda: ("", 0), 'c.yaml:3: service "a"')


def test_services_have_addresses_and_names_of_their_own(tmp_path: Path) -> None:
    known = addresses("p", ["a", "b"])
    assert len(set(known.values())) == 2
    assert write_hosts(tmp_path / "hosts", known).read_text().startswith(f"{known['a']}\ta\n{known['b']}\tb\n")


def test_many_services_have_addresses_that_are_some(tmp_path: Path) -> None:
    known = addresses("p", [f"s{number}" for number in range(700)])
    assert len({ipaddress.IPv4Address(each) for each in known.values()}) == 700


def test_http_service_answers_at_its_published_port(project: Project) -> None:
    port = free()
    project.write(f"a: {{image: web, ports: ['127.0.0.1:{port}:8080'], environment: {{GREETING: hi}}}}")
    done = project("up", "-d")
    assert done.code == 0, done.stderr
    assert eventually(lambda: talk("127.0.0.1", port) == b"hi")
    assert project("down").code == 0


def test_command_that_listens_is_published_under_another_number(project: Project) -> None:
    inner, outer = free(), free()
    project.pack("component_cli").write(
        f"a: {{image: component-cli, environment: {{LISTEN: '{inner}', GREETING: hi}}, "
        f"ports: ['127.0.0.1:{outer}:{inner}']}}"
    )
    assert project("up", "-d").code == 0
    assert eventually(lambda: talk("127.0.0.1", outer) == b"hi")


def test_others_wait_for_the_health_that_curl_would_find(project: Project) -> None:
    check = "healthcheck: {test: [CMD, curl, -f, 'http://localhost:8080/'], interval: 100ms, retries: 3}"
    project.pack("hello")
    for status, code in ((200, 0), (500, 1)):
        project.write(
            f"a: {{image: web, environment: {{GREETING: HTTP/1.1 {status} So}}, {check}}}",
            "b: {image: hello, depends_on: {a: {condition: service_healthy}}}",
        )
        done = project("up", "-d")
        assert (done.code, "never became healthy" in done.stderr) == (code, bool(code)), done.stderr
        project("down")


def test_check_of_another_port_is_refused_with_its_line(project: Project) -> None:
    done = project.write("a: {image: web, healthcheck: {test: curl -f http://localhost:9000/}}")("up")
    assert done.code == 2
    assert 'compose.yaml:2: service "a": its health check asks port 9000, not its 8080' in done.stderr


def test_instances_of_one_http_service_are_refused_with_their_line(project: Project) -> None:
    done = project.write("a: {image: web, scale: 2}")("up")
    assert 'compose.yaml:2: service "a": 2 instances cannot share one address' in done.stderr


def test_port_in_use_is_named_with_its_line(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = project.write(f"a: {{image: web, ports: ['127.0.0.1:{port}:8080']}}")("up")
    assert done.code == 1
    assert f'compose.yaml:2: service "a": port {port} of 127.0.0.1 is in use' in done.stderr


def test_http_service_without_its_program_says_what_to_install(project: Project) -> None:
    plain = Project(
        project.folder, CommandLine({**project.line.environment, "WASMDOCK_SHIM": "", "PATH": "/usr/bin:/bin"})
    )
    done = plain.write("a: {image: web}")("up")
    if done.code == 0:
        pytest.skip("wasmdock-host is installed here")
    assert 'service "a": serving wasi:http without a container: the program wasmdock-host is not here' in done.stderr


def test_containers_are_given_wasm_services_as_hosts_and_ports_to_be_found_by(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        "services:\n"
        "  api: {image: a, platform: wasi/wasm, environment: {DB: 'db:5432'}, depends_on: [db]}\n"
        "  db: {image: p, restart: always, depends_on: [other]}\n"
        "  other: {image: o, ports: ['80:80'], configs: [c]}\n"
        "configs: {c: {content: 'price: $$5'}}\n"
    )
    stack = load_stack(find_sources([], {}, tmp_path), home="/")
    made = linux_document(stack, Ground("host-gateway", "127.0.0.1"), tmp_path / "state")
    assert set(made["services"]) == {"db", "other"}
    assert ports_of(stack, stack.service("db")) == [5432]
    assert made["services"]["db"]["ports"][0]["target"] == 5432
    assert made["services"]["db"]["extra_hosts"] == ["api=host-gateway"]
    assert made["services"]["db"]["restart"] == "no"
    assert len(made["services"]["other"]["ports"]) == 1
    assert Path(json.loads(json.dumps(made))["configs"]["c"]["file"]).read_text() == "price: $5"
