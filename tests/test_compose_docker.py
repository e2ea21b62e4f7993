"""Projects given to docker compose, with an engine that is none: what it is given, and what is made of its failure."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.command_line import guest
from wasmdock.cli import run_cli
from wasmdock.cli.context import Context
from wasmdock.compose_state import State
from wasmdock.oci.image import Image
from wasmdock.process import Completed

UNKNOWN = (
    b"cap-1  | wasmdock: said by a guest\n"
    b'Error response from daemon: failed to resolve reference "docker.io/library/cap:2": failed to do request\n'
)


class Engine:
    """Remembers what it was given; its docker compose ends as told."""

    environment: dict[str, str] = {}
    host = SimpleNamespace(url="unix:///nowhere")

    def __init__(self, done: Completed) -> None:
        self.done = done
        self.images: dict[str, Image] = {}
        self.calls: list[tuple[str, ...]] = []
        self.running = b""  # of containers, as docker compose lists them

    def has_image(self, reference: str, image: Image) -> bool:
        return reference in self.images and self.images[reference].digest == image.digest

    def load(self, image: Image, reference: str) -> None:
        self.images[reference] = image

    def attacher(self, argv: list[str], **_: Any) -> Completed:
        self.calls.append(tuple(argv))
        return self.done

    def cli(self, *words: str, **_: Any) -> Completed:
        self.calls.append(words)
        return Completed((), 0, self.running if "ps" in words else b"")


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    made = Engine(Completed((), 0))
    monkeypatch.setattr(Context, "docker", made)
    monkeypatch.setattr("wasmdock.cli.foresee_services.foresee_services", lambda *_: None)
    monkeypatch.setenv("WASMDOCK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WASMDOCK_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    wasm = "platform: wasi/wasm, runtime: io.containerd.wasmtime.v1"
    text = f"services:\n  cap: {{image: 'cap:2', {wasm}}}\n  far: {{image: 'far:1', {wasm}}}\n  db: {{image: redis}}\n"
    (tmp_path / "compose.yaml").write_text(text)
    return made


@pytest.mark.parametrize("shape", ["rootfs", "wasm-layer", "artifact"])
def test_what_the_store_has_is_in_the_engine_before_docker_compose_starts(engine: Engine, shape: str) -> None:
    assert run_cli(["pack", str(guest("hello")), "-t", "cap:2", "--shape", shape]) == 0
    assert run_cli(["compose", "up", "--on", "docker"]) == 0
    assert list(engine.images) == ["cap:2"]
    assert engine.images["cap:2"].entrypoint  # as an engine starts it


@pytest.mark.parametrize("words", [(), ("-d",)])
@pytest.mark.parametrize("said, cause, cure", [
    (UNKNOWN, 'the engine has no image "cap:2", and no registry gave it one', "build or pull it"),
    (b"Error response from daemon: Bind for :80 failed: port is already allocated\n", "the port is in use", "publish"),
    (b"cap-1  | wasmdock: said by a guest\nsome new words\n", "docker compose: some new words", ""),
])  # fmt: skip
def test_failure_of_docker_compose_is_one_of_ours_with_a_cure(
    engine: Engine, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: bytes, cause: str, cure: str
) -> None:
    engine.done = Completed((), 18, b"", said)
    assert run_cli(["compose", "-p", "mine", "up", "--on", "docker", *words]) == 1
    stderr = capsys.readouterr().err
    assert f'wasmdock: starting project "mine": {cause}\n' in stderr
    assert cure in stderr
    assert engine.calls[-1][-1] == "stop"


def test_ctrl_c_of_docker_compose_is_no_failure(engine: Engine) -> None:
    engine.done = Completed((), 130)
    assert run_cli(["compose", "up", "--on", "docker"]) == 130


def test_project_that_went_to_docker_is_forgotten_in_process_and_is_not_started_twice(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wasm = "platform: wasi/wasm, runtime: io.containerd.wasmtime.v1"
    (tmp_path / "compose.yaml").write_text(f"services:\n  cap: {{image: 'cap:2', {wasm}}}\n")
    assert run_cli(["pack", str(guest("hello")), "-t", "cap:2"]) == 0
    compose = ["compose", "-p", "mine"]
    row = {"name": "cap-1", "service": "cap", "road": "process", "status": "exited", "code": 130, "pid": 0, "ports": ""}
    (tmp_path / "home" / "compose" / "mine").mkdir(parents=True)
    State(tmp_path / "home" / "compose", "mine").write({"members": [row], "linux": False})  # Ctrl-C ended it
    assert run_cli([*compose, "up", "-d", "--on", "docker"]) == 0
    engine.running = b'{"Name": "mine-cap-1", "Service": "cap", "State": "running", "Status": "Up 2 seconds"}\n'
    capsys.readouterr()
    assert run_cli([*compose, "ps"]) == 0
    (line,) = capsys.readouterr().out.splitlines()[1:]
    assert line.split()[:3] == ["cap-1", "docker", "Up"]
    assert run_cli([*compose, "up", "--on", "process"]) == 2
    said = capsys.readouterr().err
    assert 'starting project "mine": it runs in Docker already' in said and "wasmdock compose down" in said
    assert run_cli([*compose, "down"]) == 0
    assert engine.calls[-1][:5] == ("docker", "compose", "-p", "mine", "down")
    engine.running = b""
    assert run_cli([*compose, "up", "--on", "process"]) == 0
