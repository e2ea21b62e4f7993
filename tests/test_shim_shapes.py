"""Images that hold the Wasm binary as a layer of its own, which no engine unpacks: our runtime finds it."""

import os
from pathlib import Path

import pytest

from tests.command_line import CommandLine
from tests.conftest import sample
from tests.shim_matrix import COMPONENT_HELLO, HELLO, RUNTIME, cli, engine_root, run
from wasmdock.convert import convert
from wasmdock.docker import Docker
from wasmdock.oci.archive import write_archive
from wasmdock.oci.image import Image, Reference
from wasmdock.shape import Shape

pytestmark = pytest.mark.docker


def loaded(shape: Shape, guest: str) -> tuple[str, Image]:
    """A sample guest in a shape: the engine's name for it, and the image."""
    engine_root()
    converted = convert(sample(guest), shape)
    reference = f"wasmdock-shim-test/{shape.value}-{guest.replace('_', '-')}:latest"
    Docker.connect(os.environ).load(converted, reference)
    return reference, converted


@pytest.mark.parametrize("guest, said", [("hello", HELLO), ("component_cli", COMPONENT_HELLO)])
def test_wasm_layer_is_the_program(guest: str, said: str) -> None:
    reference, packed = loaded(Shape.WASM_LAYER, guest)
    done = run(reference, f"--platform={packed.platform}")
    assert (done.returncode, done.stdout) == (0, said), done.stderr


def test_artifact_runs_where_a_command_is_given() -> None:
    """Its config has none, and docker run wants one: any name will do."""
    reference, packed = loaded(Shape.ARTIFACT, "args")
    done = run(reference, f"--platform={packed.platform}", arguments=["args.wasm", "one"])
    assert (done.returncode, done.stdout) == (0, "args.wasm\none\n"), done.stderr


def test_entrypoint_of_a_wasm_layer_names_an_export() -> None:
    reference, packed = loaded(Shape.WASM_LAYER, "hello")
    done = run(reference, f"--platform={packed.platform}", "--entrypoint=/hello.wasm#nope")
    assert done.returncode == 126
    assert "no export nope" in done.stderr


def test_wasm_layer_runs_again_by_exec() -> None:
    reference, packed = loaded(Shape.WASM_LAYER, "sleep_hour")
    name = f"shim-test-layer-{os.getpid()}"
    options = ("--detach", f"--name={name}", RUNTIME[0], f"--platform={packed.platform}")
    try:
        assert cli("run", *options, reference).returncode == 0
        done = cli("exec", "--env=WASMDOCK_TIMEOUT=300ms", name, "/sleep-hour.wasm", timeout=20)
        assert done.returncode == 124, done.stderr
    finally:
        cli("rm", "--force", name)


@pytest.mark.parametrize("shape", [Shape.WASM_LAYER, Shape.ARTIFACT])
def test_wasmdock_run_converts_for_engines_with_another_runtime(
    wasmdock: CommandLine, tmp_path: Path, shape: Shape
) -> None:
    engine_root()
    archive = tmp_path / "hello.tar"
    write_archive(convert(sample("hello"), shape), archive, Reference.parse("hello:latest"))
    done = wasmdock("run", "--on", "docker", archive, DOCKER_HOST=os.environ["DOCKER_HOST"])
    assert (done.code, done.text) == (0, HELLO), done.stderr
