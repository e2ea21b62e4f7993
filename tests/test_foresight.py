"""Broken images and engines, each told before a container is started."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.images import image_with, tar_of
from tests.machines import engine
from tests.requirements import require_docker
from wasmdock.cli import run_cli
from wasmdock.docker import Docker
from wasmdock.doctor_facts import ShimKind
from wasmdock.errors import ImageError, UnavailableError, UsageError, WasmdockError
from wasmdock.foresight import Start, find_obstacle, is_mislabelled, remarks
from wasmdock.launch import Nature

WASM = tar_of({"app.wasm": b"\0asm\1\0\0\0"})
GUEST = image_with(WASM)
LINUX = {"os": "linux", "architecture": "amd64"}
MISLABELLED = image_with(WASM, **LINUX)
NATIVE = image_with(WASM, os="linux", architecture="arm64")
DOCKER_28 = engine(version="28.5.2+dfsg1")


def start(**changes: Any) -> Start:
    """A container that nothing keeps from starting, but for these changes."""
    values: dict[str, Any] = {"image": GUEST, "nature": Nature.CORE_COMMAND, "engine": engine(), "shim": ShimKind.OURS}
    return Start(**{**values, **changes})


OBSTACLES: list[tuple[str, Start, type[WasmdockError], str, str]] = [
    ("Wasm built without --platform", start(image=MISLABELLED),
     ImageError, 'running a Wasm binary as "linux/amd64"', "docker buildx build --platform wasi/wasm"),
    ("a program for another machine", start(image=NATIVE, nature=Nature.NATIVE),
     ImageError, 'running a program for "linux/arm64": the engine\'s machine is linux/amd64', "--platform linux/amd64"),
    ("Windows containers", start(engine=engine(os="windows")),
     UnavailableError, "the engine runs windows containers, this needs Linux ones", "Switch to Linux containers"),
    ("Docker's own image store", start(engine=engine(containerd_store=False, storage_driver="overlay2")),
     UnavailableError, "the engine's image store (overlay2) cannot hold its image", "containerd-snapshotter"),
    ("no shim", start(shim=ShimKind.ABSENT),
     UnavailableError, "the engine has no io.containerd.wasmtime.v1", "as `wasmdock doctor` spells it"),
    ("runwasi's shim on Docker 28", start(shim=ShimKind.FOREIGN, engine=DOCKER_28),
     UnavailableError, "is not ours, and hangs Docker 28.5.2+dfsg1", "as `wasmdock doctor` spells it"),
    ("a terminal where there is none", start(tty=True, interactive=True, at_terminal=False),
     UsageError, "giving the guest a terminal (-t): our standard input is none", "leave -t out"),
    ("a terminal under runwasi's shim", start(tty=True, shim=ShimKind.FOREIGN),
     UsageError, "this engine's Wasm runtime has none", "leave -t out"),
    ("a terminal under runwasi's shim, by a Compose file", start(tty=True, shim=ShimKind.FOREIGN, in_file=True),
     UsageError, "giving a Wasm guest a terminal (tty)", "leave tty out"),
]  # fmt: skip


@pytest.mark.parametrize(
    "begun, kind, sentence, cure", [row[1:] for row in OBSTACLES], ids=[row[0] for row in OBSTACLES]
)
def test_obstacle_is_told_before_the_start(begun: Start, kind: type[WasmdockError], sentence: str, cure: str) -> None:
    found = find_obstacle(begun)
    assert type(found) is kind
    assert sentence in found.message
    assert cure in found.hint


FREE = [
    start(),
    start(tty=True),
    start(shim=ShimKind.UNKNOWN, engine=DOCKER_28),
    start(shim=ShimKind.ABSENT, proven=True),
    start(shim=ShimKind.FOREIGN),
    start(nature=Nature.NATIVE, image=image_with(WASM, **LINUX), shim=ShimKind.ABSENT),
    start(nature=Nature.NATIVE, image=image_with(WASM, **LINUX), engine=engine(architecture="x86_64")),
    start(nature=Nature.NATIVE, image=image_with(WASM, **LINUX), engine=engine(containerd_store=False)),
]


@pytest.mark.parametrize("begun", FREE)
def test_nothing_keeps_a_sound_image_from_starting(begun: Start) -> None:
    assert find_obstacle(begun) is None


def test_http_component_without_a_published_port_is_remarked() -> None:
    assert "add -p 8080:8080" in remarks(start(nature=Nature.HTTP))[0]
    assert 'add ports: ["8080:8080"]' in remarks(start(nature=Nature.HTTP, in_file=True))[0]
    assert remarks(start(nature=Nature.HTTP, published=True)) == ()


def test_platform_spelt_the_old_way_is_remarked() -> None:
    old = image_with(WASM, os="wasi", architecture="wasm32")
    assert remarks(start(image=old)) == (
        "the image's platform is spelt wasi/wasm32; plain docker run finds it with --platform=wasi/wasm32 only",
    )
    assert remarks(start()) == ()


def test_linux_image_that_starts_wasm_is_mislabelled() -> None:
    assert is_mislabelled(MISLABELLED)
    assert not is_mislabelled(GUEST)
    assert not is_mislabelled(image_with(tar_of({"app.wasm": b"\x7fELF"}), **LINUX))
    assert not is_mislabelled(image_with(tar_of({}), **LINUX))


SERVICE = """services:
  guest:
    image: wasmdock-test/foreseen
    platform: wasi/wasm
    runtime: io.containerd.wasmtime.v1
"""


@pytest.mark.docker
def test_compose_tells_what_cannot_start_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    require_docker()
    docker = Docker.connect(os.environ)
    docker.load(image_with(tar_of({"app.wasm": b"\x7fELF\2\1\1\0"})), "wasmdock-test/foreseen:latest")
    file = tmp_path / "compose.yaml"
    file.write_text(SERVICE)
    try:
        assert run_cli(["compose", "-f", str(file), "up", "--on", "docker"]) == 1
    finally:
        docker.remove("wasmdock-test/foreseen:latest", force=True)
    said = capsys.readouterr().err
    assert f'{file}:3: service "guest": starting "/app.wasm": not a Wasm binary: an ELF file' in said
