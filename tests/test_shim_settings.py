"""Settings of the Wasm runtime by environment, annotation and label, on a Docker engine: plain docker commands."""

import os
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import sample
from tests.images import gzip_layer, image_of, tar_of
from tests.shim_matrix import COMPONENT_HELLO, HELLO, RUNTIME, cli, engine_root, image, run, with_env
from wasmdock.docker import Docker
from wasmdock.docker_call import grant_words
from wasmdock.docker_run import DockerRuntime
from wasmdock.errors import GuestError
from wasmdock.oci.image import Image
from wasmdock.pack import extract
from wasmdock.runtime import CAPABILITIES_LABEL, MIB, Limits, RunRequest

pytestmark = pytest.mark.docker

# Codes that wasmtime, Docker or a shell give a meaning of their own, their neighbours, and the ends of the range.
CODES = (0, 1, 2, 3, 77, 123, 124, 125, 126, 127, 128, 129, 130, 134, 137, 139, 143, 200, 254, 255)


def loaded(packed: Image, name: str) -> str:
    """The engine's name for an image of this test's own."""
    engine_root()
    reference = f"wasmdock-shim-test/{name}:latest"
    Docker.connect(os.environ).load(packed, reference)
    return reference


def test_every_exit_code_is_the_guests_own() -> None:
    reference = image("exit_count")

    def ended(code: int) -> tuple[int, str]:
        done = run(reference, "--network=none", arguments=["x"] * code)
        return done.returncode, done.stderr

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(ended, CODES)) == [(code, "") for code in CODES]


def test_component_ends_with_a_code_of_its_own() -> None:
    assert run(image("component_exit")).returncode == 200


@pytest.mark.parametrize("stack, calls, code", [("512k", 1, 0), ("512k", 9, 134), ("64m", 9, 0), ("64k", 1, 134)])
def test_stack_is_as_deep_as_it_was_set(stack: str, calls: int, code: int) -> None:
    done = run(image("deep"), *with_env(STACK=stack), arguments=["x"] * (calls - 1))
    assert done.returncode == code, done.stderr
    assert ("call stack exhausted" in done.stderr) == (code == 134)


@pytest.mark.parametrize("name, said", [("hello", HELLO), ("component_cli", COMPONENT_HELLO)])
def test_guest_that_asks_for_no_more_than_allowed_runs(name: str, said: str) -> None:
    assert run(image(name), *with_env(ALLOW="stdio,exit", DENY="files")).stdout == said


@pytest.mark.parametrize("name, who", [("hello", "fd_write"), ("component_cli", "wasi:cli/stdout@0.2")])
@pytest.mark.parametrize("words", [{"ALLOW": "none"}, {"DENY": "stdio"}], ids=str)
def test_guest_that_asks_for_more_is_refused_with_the_names(name: str, who: str, words: dict[str, str]) -> None:
    done = run(image(name), *with_env(**words))
    assert (done.returncode, done.stdout) == (126, "")
    source = f"WASMDOCK_{next(iter(words))}"
    assert f"the guest asks for stdio, which {source} does not grant\nstdio: imported as {who}" in done.stderr


def test_capability_without_a_meaning_is_refused_at_once() -> None:
    done = run(image("hello"), *with_env(DENY="fils"))
    assert done.returncode == 125
    assert "WASMDOCK_DENY=fils: not a list of arguments, environment" in done.stderr


@pytest.mark.parametrize(
    "label, guest, code", [("wasmdock.timeout=300ms", "spin", 124), ("wasmdock.deny=stdio", "hello", 126)]
)
def test_label_of_a_container_sets_a_limit(label: str, guest: str, code: int) -> None:
    done = run(image(guest), f"--label={label}")
    assert done.returncode == code, done.stderr


def test_authors_list_in_the_image_holds_until_another_is_given() -> None:
    layer = gzip_layer(tar_of({"app.wasm": extract(sample("hello"))}))
    run_config = {"Entrypoint": ["/app.wasm"], "Labels": {CAPABILITIES_LABEL: "clocks"}}
    reference = loaded(image_of(layer, run=run_config), "listed")
    refused = run(reference)
    assert refused.returncode == 126
    assert f"which {CAPABILITIES_LABEL} does not grant" in refused.stderr
    assert run(reference, *with_env(ALLOW="all")).stdout == HELLO


def test_image_cannot_lift_what_an_annotation_limits() -> None:
    """What the image brings as its own environment comes as an option here: the runtime cannot tell them apart."""
    done = run(image("hello"), "--annotation=wasmdock.allow=exit", *with_env(ALLOW="all"))
    assert done.returncode == 126, done.stdout
    done = run(image("spin"), "--annotation=wasmdock.timeout=300ms", *with_env(TIMEOUT="1h"))
    assert done.returncode == 124, done.stderr


def test_compiling_may_be_given_less_time() -> None:
    """A custom section makes the module one that nobody has compiled yet."""
    note = secrets.token_bytes(64)
    data = extract(sample("hello")) + bytes([0, len(note) + 2, 1]) + b"n" + note
    layer = gzip_layer(tar_of({"app.wasm": data}))
    reference = loaded(image_of(layer, run={"Entrypoint": ["/app.wasm"]}), "uncompiled")
    late = run(reference, *with_env(COMPILE_TIME="1ms"))
    assert late.returncode == 126
    assert "compiling /app.wasm: it took more than 1ms (WASMDOCK_COMPILE_TIME" in late.stderr
    assert run(reference).stdout == HELLO
    assert run(reference, *with_env(COMPILE_TIME="1ms")).stdout == HELLO  # compiled code is not compiled


def test_library_hands_stack_and_grants_to_the_runtime() -> None:
    engine_root()
    docker = Docker.connect(os.environ)
    request = RunRequest(args=("x",) * 8, limits=Limits(stack=64 * MIB))
    assert DockerRuntime(docker).run(sample("deep"), request).exit_code == 0
    held = DockerRuntime(docker, options=grant_words(compile_time=60, allow=["stdio", "clocks"], deny=["clocks"]))
    with pytest.raises(GuestError, match=r"asks for arguments, which wasmdock\.allow does not grant"):
        held.run(sample("deep"), request)


def test_served_component_that_asks_for_too_much_is_refused() -> None:
    done = cli("run", "--rm", *RUNTIME, *with_env(ALLOW="none"), image("component_socket"))
    assert done.returncode == 126
    assert "sockets: imported as wasi:sockets/" in done.stderr
