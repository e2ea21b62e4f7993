"""wasmdock run of a wasi:http component without a container, by a stand-in for wasmdock-host and by the real one."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import CommandLine
from tests.requirements import require_cargo
from tests.test_compose_wire import HTTP, free, talk
from wasmdock.cli.run_http import parse_publish
from wasmdock.errors import UnavailableError, UsageError
from wasmdock.http_host import LAUNCH, Compiled, Launch, compile_for_host, find_host
from wasmdock.runtime import Limits
from wasmdock.serve import serve

ROOT = Path(__file__).parent.parent
# As that of test_compose_wire, and ends as the real one does.
HOST = f"""#!{sys.executable}
import json, os, signal, socket, sys
if sys.argv[1:2] == ["compile"]:
    print("bad guest", file=sys.stderr)
    sys.stdout.buffer.write(sys.stdin.buffer.read())
    sys.exit(0)
signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
launch = json.loads(os.environ["WASMDOCK_LAUNCH"])
host, _, port = launch["settings"]["address"].rpartition(":")
listener = socket.create_server((host, int(port)))
print("wasmdock: serving on http://%s:%s/" % (host, port), file=sys.stderr, flush=True)
while True:
    client, _ = listener.accept()
    client.sendall(json.dumps([os.environ.get("GREETING"), launch["settings"]["memory"]]).encode())
    client.close()
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="children die with their parent on Linux")


@pytest.fixture
def line(tmp_path: Path, wasmdock: CommandLine) -> CommandLine:
    (tmp_path / "shim").mkdir()
    (tmp_path / "shim" / "wasmdock-host").write_text(HOST)
    (tmp_path / "shim" / "wasmdock-host").chmod(0o755)
    (tmp_path / "web.wat").write_text(HTTP)
    return CommandLine({**wasmdock.environment, "WASMDOCK_SHIM": str(tmp_path / "shim"), "WEB": f"{tmp_path}/web.wat"})


@pytest.fixture
def served(line: CommandLine) -> Iterator["tuple[subprocess.Popen[bytes], int]"]:
    port = free()
    words = ["-e", "GREETING=hi", "--memory", "64m", "-p", f"127.0.0.1:{port}:8080", line.environment["WEB"]]
    process = line.start("run", "--on", "process", *words)
    assert process.stderr
    assert process.stderr.readline() == f"wasmdock: serving on http://127.0.0.1:{port}/\n".encode()
    yield process, port
    process.kill()
    process.communicate()


def test_component_is_served_at_the_published_port_within_its_limits(
    served: "tuple[subprocess.Popen[bytes], int]",
) -> None:
    assert talk("127.0.0.1", served[1]) == b'["hi", 67108864]'


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_as_it_ends_a_container(
    served: "tuple[subprocess.Popen[bytes], int]", number: signal.Signals
) -> None:
    time.sleep(0.2)  # until the signals are its own
    served[0].send_signal(number)
    assert served[0].wait(10) == 0


def test_server_ends_with_wasmdock_even_when_that_is_killed(served: "tuple[subprocess.Popen[bytes], int]") -> None:
    served[0].kill()
    served[0].wait()
    for _ in range(100):
        try:
            talk("127.0.0.1", served[1])
        except ConnectionRefusedError:
            return
        except ConnectionError:  # it is being killed
            pass
        time.sleep(0.05)
    raise AssertionError("it is still served")


def test_time_limit_ends_it_with_124(line: CommandLine) -> None:
    done = line("run", "--on", "process", "--timeout", "200ms", "-p", f"{free()}:8080", line.environment["WEB"])
    assert (done.code, "still serving after 0.2 s" in done.stderr) == (124, True)


def test_port_in_use_is_one_line(line: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = f"127.0.0.1:{taken.getsockname()[1]}:8080"
        done = line("run", "--on", "process", "-p", port, line.environment["WEB"])
    assert done.code == 125
    assert len([each for each in done.stderr.splitlines() if "in use" in each]) == 1, done.stderr


def test_no_limit_on_tables_is_one_that_nobody_reaches(tmp_path: Path) -> None:
    launch = Launch(Compiled(tmp_path, {}), limits=Limits(tables=None))
    assert json.loads(launch.variables()[LAUNCH])["settings"]["tables"] == (1 << 64) - 1


def test_without_its_program_it_says_how_to_get_it(line: CommandLine, tmp_path: Path) -> None:
    if find_host(Path(sys.executable).parent, tmp_path) is not None:
        pytest.skip("wasmdock-host is installed here")
    done = line("run", "--on", "process", line.environment["WEB"], WASMDOCK_SHIM="")
    assert (done.code, "in a clone of wasmdock, with cargo: scripts/shim" in done.stderr) == (125, True)


@pytest.mark.parametrize(
    "text, address",
    [("80:8080", ("0.0.0.0", 80)), ("127.0.0.1:80:8080/tcp", ("127.0.0.1", 80)), ("8080", ("0.0.0.0", 0)),
     ("[::1]:80:8080", ("[::1]", 80)), ("127.0.0.1::8080", ("127.0.0.1", 0))],
)  # fmt: skip
def test_publish_is_read_as_docker_run_reads_it(text: str, address: tuple[str, int]) -> None:
    assert parse_publish(text, 8080) == address


@pytest.mark.parametrize("text", ["", "x:8080", "80:90", "80:8080/udp", "99999:8080"])
def test_what_cannot_be_published_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="publishing"):
        parse_publish(text, 8080)


def test_spoiled_code_is_compiled_again(line: CommandLine, tmp_path: Path) -> None:
    host = Path(line.environment["WASMDOCK_SHIM"]) / "wasmdock-host"
    data = b"\0asm\x0d\0\x01\0"
    first = compile_for_host(host, data, tmp_path / "cache").path
    first.write_bytes(b"spoiled")
    assert compile_for_host(host, data, tmp_path / "cache").path.read_bytes() == data


def test_code_is_neither_kept_nor_run_where_others_may_write(line: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "cache" / "host").mkdir(parents=True)
    (tmp_path / "cache" / "host").chmod(0o777)
    host = Path(line.environment["WASMDOCK_SHIM"]) / "wasmdock-host"
    with pytest.raises(UnavailableError, match="others may write to it"):
        compile_for_host(host, b"\0asm\x0d\0\x01\0", tmp_path / "cache")
    assert list((tmp_path / "cache" / "host").iterdir()) == []


def test_kept_code_that_goes_meanwhile_is_no_failure(line: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "cache" / "host").mkdir(mode=0o700, parents=True)
    (tmp_path / "cache" / "host" / "gone").symlink_to("nowhere")
    host = Path(line.environment["WASMDOCK_SHIM"]) / "wasmdock-host"
    assert compile_for_host(host, b"\0asm\x0d\0\x01\0", tmp_path / "cache").path.is_file()


def test_what_a_program_says_before_it_serves_is_the_reason(tmp_path: Path, line: CommandLine) -> None:
    host = Path(line.environment["WASMDOCK_SHIM"]) / "wasmdock-host"
    code = compile_for_host(host, b"\0asm\x0d\0\x01\0", tmp_path / "cache")
    host.write_text("#!/bin/sh\necho 'wasmdock: no luck' >&2\nexit 125\n")
    with pytest.raises(UnavailableError, match=r"serving on 127.0.0.1:\d+: no luck"):
        serve(host, Launch(code))


@pytest.mark.cargo
def test_real_program_serves_a_real_guest(wasmdock: CommandLine) -> None:
    require_cargo()
    cache = Path.home() / ".cache" / "wasmdock"
    if find_host(Path(sys.executable).parent, cache) is None:
        pytest.skip("no wasmdock-host: scripts/shim builds it")
    port = free()
    line = CommandLine({**os.environ, "WASMDOCK_HOME": wasmdock.environment["WASMDOCK_HOME"]})
    guest = ROOT / "dockerfiles" / "http-hello"
    with line.start("run", "--on", "process", "-p", f"127.0.0.1:{port}:8080", guest) as process:
        try:
            assert process.stderr
            said = [process.stderr.readline()]
            while b"serving on" not in said[-1]:
                assert said[-1], said
                said.append(process.stderr.readline())
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert b"Hello from wasmdock!\n" in client.makefile("rb").read()
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()
