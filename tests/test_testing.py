"""WasmContainer: a guest as testcontainers' users know a container, in Docker and in this process."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("testcontainers")

from testcontainers.core.config import testcontainers_config
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from tests.conftest import GUESTS, sample
from tests.requirements import require_docker
from tests.test_compose_wire import HTTP
from tests.test_run_http import HOST
from tests.wat import image_of
from wasmdock.engine import assemble
from wasmdock.errors import GuestError, ImageError, UnavailableError
from wasmdock.guest import Artifact, Target
from wasmdock.launch import Road
from wasmdock.pack import pack
from wasmdock.runtime import CAPABILITIES_LABEL, Limits
from wasmdock.testing import WasmContainer, wasm_container  # noqa: F401  # the fixture

DOCKER = pytest.param(Road.DOCKER, marks=pytest.mark.docker)

READY = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 0) "\\08\\00\\00\\00\\06\\00\\00\\00ready\\n")
  (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))
    (loop $again (br $again))))"""


@pytest.fixture(params=[Road.PROCESS, DOCKER])
def road(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Road:
    if request.param is Road.DOCKER:
        require_docker()
        monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)  # its image is in a registry
    chosen: Road = request.param
    return chosen


def test_guest_runs_and_its_log_and_exit_code_are_there(road: Road) -> None:
    with WasmContainer(sample("stdout_and_stderr"), road=road) as container:
        assert container.wait() == 0
        assert container.get_logs() == (b"to stdout\n", b"to stderr\n")


def test_command_and_environment_reach_the_guest(road: Road) -> None:
    with WasmContainer(sample("args"), road=road, command=["one", "two"]) as container:
        container.wait()
        assert container.get_logs()[0] == b"/args.wasm\none\ntwo\n"
    with WasmContainer(sample("environ"), road=road).with_env("A", "b") as container:
        container.wait()
        assert b"A=b\n" in container.get_logs()[0]


def test_command_of_one_text_is_split_as_a_shell_would(road: Road) -> None:
    with WasmContainer(sample("args"), road=road).with_command("one 'two three'") as container:
        container.wait()
        assert container.get_logs()[0] == b"/args.wasm\none\ntwo three\n"


def test_guest_is_held_to_its_authors_list(road: Road) -> None:
    data = assemble((GUESTS / "hello.wat").read_bytes(), "hello")
    image = pack(Artifact("hello", Target.WASIP1, data), labels={CAPABILITIES_LABEL: "none"})
    with pytest.raises(GuestError, match=f"asks for stdio: not granted by the image's label {CAPABILITIES_LABEL}"):
        WasmContainer(image, road=road).start()


def test_volume_is_a_folder_of_the_guest(road: Road, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("from the host")
    container = WasmContainer(sample("read_file"), road=road, command=["in"])
    with container.with_volume_mapping(str(tmp_path), "/data", "ro"):
        assert container.wait() == 0


def test_limit_ends_the_guest_on_both_roads(road: Road) -> None:
    with WasmContainer(sample("spin"), road=road, limits=Limits(timeout=0.5)) as container:
        assert container.wait() == 124


def test_wait_strategies_work_as_with_any_container(road: Road) -> None:
    container = WasmContainer(image_of(READY), road=road, limits=Limits(timeout=5))
    with container.waiting_for(LogMessageWaitStrategy("ready").with_startup_timeout(30)):
        assert container.get_logs()[0] == b"ready\n"


def test_fixture_starts_containers(wasm_container: Callable[..., WasmContainer]) -> None:  # noqa: F811
    assert wasm_container(sample("exit_code"), road=Road.PROCESS).wait() == 7


def test_image_may_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "guest.wasm"
    file.write_bytes(assemble((GUESTS / "exit_code.wat").read_bytes(), "x"))
    with WasmContainer(file, road=Road.PROCESS) as container:
        assert container.wait() == 7


def test_without_an_engine_this_process_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert WasmContainer(sample("hello")).road is Road.PROCESS
    with pytest.raises(UnavailableError, match="no engine answers"):
        WasmContainer(sample("hello"), road=Road.DOCKER)
    with pytest.raises(ImageError, match='finding "nothing:here": no such file, and no engine answers'):
        WasmContainer("nothing:here")


@pytest.mark.docker
def test_published_ports_answer_where_the_engine_says(monkeypatch: pytest.MonkeyPatch) -> None:
    require_docker()
    container = WasmContainer(sample("hello"), road=Road.DOCKER).with_exposed_ports(8080)
    monkeypatch.setenv("WASMDOCK_ENGINE_ADDRESS", "10.0.0.2")
    assert container.get_container_host_ip() == "10.0.0.2"


def test_port_of_a_command_cannot_be_exposed_in_this_process() -> None:
    with pytest.raises(UnavailableError, match="exposing a port in-process"):
        WasmContainer(sample("hello"), road=Road.PROCESS).with_exposed_ports(8080).start()


@pytest.mark.skipif(sys.platform != "linux", reason="served without an engine on Linux")
def test_guest_of_wasi_http_answers_on_its_port_without_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wasmdock-host").write_text(HOST)
    (tmp_path / "wasmdock-host").chmod(0o755)
    monkeypatch.setenv("WASMDOCK_SHIM", str(tmp_path))
    monkeypatch.setenv("WASMDOCK_CACHE", str(tmp_path / "cache"))
    container = WasmContainer(image_of(HTTP), road=Road.PROCESS).with_env("GREETING", "hi").with_exposed_ports(8080)
    with container:
        address = (container.get_container_host_ip(), container.get_exposed_port(8080))
        with socket.create_connection(address, timeout=10) as client:
            assert json.loads(client.makefile("rb").read()) == ["hi", 512 << 20]
        with pytest.raises(UnavailableError, match="port 8080 alone"):
            container.get_exposed_port(9090)
        assert container.status == "running"
    assert container.status == "exited"


def test_example_of_the_readme_passes(tmp_path: Path) -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    example = readme.partition("<!-- testing example -->\n```python\n")[2].partition("```")[0]
    assert example.count("\n") <= 12
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["wasmdock.testing"]\n')
    (tmp_path / "test_example.py").write_text(example)
    (tmp_path / "hello.wasm").write_bytes(assemble((GUESTS / "hello.wat").read_bytes(), "x"))
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parent.parent), "HOME": str(tmp_path)}
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
