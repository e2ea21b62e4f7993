"""wasmdock push, pull, copy, tags, convert, run, sbom, verify, diff, as a shell sees them, with a registry."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import CommandLine, Done, guest
from tests.faulty_registry import FaultyRegistry, answering, faulty_registry, on
from tests.requirements import require_cargo

HELLO = b"Hello from a sample guest!\n"
GUEST = Path(__file__).parent.parent / "dockerfiles" / "signature-checker"


def ok(done: Done) -> Done:
    assert done.code == 0, done.stderr
    return done


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with faulty_registry() as found:
        yield found


@pytest.fixture
def name(wasmdock: CommandLine, registry: FaultyRegistry) -> str:
    """An image in the store, named for the registry."""
    ok(wasmdock("pack", guest("hello"), "-t", f"{registry.name}/me/hello:v1"))
    return f"{registry.name}/me/hello:v1"


def test_pushed_image_is_pulled_and_run(wasmdock: CommandLine, name: str) -> None:
    assert "blobs: 2 sent" in ok(wasmdock("push", name)).text
    ok(wasmdock("rmi", name))
    assert ok(wasmdock("pull", name)).text.startswith(f"{name}  ")
    assert ok(wasmdock("run", name)).stdout == HELLO


def test_push_under_another_name_says_what_was_done(wasmdock: CommandLine, name: str, registry: FaultyRegistry) -> None:
    facts = json.loads(ok(wasmdock("push", name, f"{registry.name}/me/hello:v2", "--format", "json")).text)
    assert facts["blobs"] == {"sent": 2, "mounted": 0, "there": 0}
    assert facts["digest"].startswith("sha256:")
    assert ok(wasmdock("tags", f"{registry.name}/me/hello")).text == "v2\n"


def test_push_with_a_wrong_signing_key_sends_nothing(
    wasmdock: CommandLine, name: str, registry: FaultyRegistry
) -> None:
    done = wasmdock("push", name, "--sign", "/nonexistent.pem")
    assert (done.code, done.stderr) == (2, 'wasmdock: reading key "/nonexistent.pem": No such file or directory\n')
    assert not registry.calls


def test_run_pulls_a_name_that_begins_with_a_registry(wasmdock: CommandLine, name: str) -> None:
    ok(wasmdock("push", name))
    ok(wasmdock("rmi", name))
    done = ok(wasmdock("run", "--why", name))
    assert (done.stdout, f"from registry {name.partition('/')[0]}" in done.stderr) == (HELLO, True)
    assert "from the store" in ok(wasmdock("run", "--why", name)).stderr


def test_run_asks_no_registry_for_a_bare_name(wasmdock: CommandLine) -> None:
    done = wasmdock("run", "no-such-image")
    assert (done.code, "not in the store" in done.stderr) == (125, True)


def test_run_with_pull_never_asks_nobody(wasmdock: CommandLine, name: str, registry: FaultyRegistry) -> None:
    ok(wasmdock("rmi", name))
    assert wasmdock("run", "--pull", "never", name).code == 125
    assert not registry.calls


def test_run_with_pull_always_takes_what_the_registry_has_now(wasmdock: CommandLine, name: str) -> None:
    ok(wasmdock("pack", guest("args"), "-t", "other"))
    ok(wasmdock("push", "other", name))
    assert ok(wasmdock("run", name)).stdout == HELLO
    assert ok(wasmdock("run", "--pull", "always", name)).text == "/args.wasm\n"


def test_a_registry_that_does_not_have_it_is_one_line(wasmdock: CommandLine, registry: FaultyRegistry) -> None:
    done = wasmdock("pull", f"{registry.name}/me/nothing")
    assert done.code == 1
    assert done.stderr.startswith(f'wasmdock: pulling "{registry.name}/me/nothing:latest": the registry does not have')


def test_copy_needs_no_store(wasmdock: CommandLine, name: str, registry: FaultyRegistry) -> None:
    ok(wasmdock("push", name))
    ok(wasmdock("rmi", name))
    ok(wasmdock("copy", name, f"{registry.name}/me/hello:v2"))
    assert ok(wasmdock("tags", f"{registry.name}/me/hello", "--format", "json")).text == '["v1", "v2"]\n'
    assert json.loads(ok(wasmdock("images", "--format", "json")).text) == []


@pytest.mark.parametrize("shape", ["rootfs", "wasm-layer", "artifact"])
def test_every_shape_is_packed_pushed_run_inspected_and_extracted(
    shape: str, wasmdock: CommandLine, registry: FaultyRegistry, tmp_path: Path
) -> None:
    name = f"{registry.name}/me/{shape}"
    ok(wasmdock("pack", guest("hello"), "-t", name, "--shape", shape))
    ok(wasmdock("push", name))
    ok(wasmdock("rmi", name))
    assert ok(wasmdock("run", name)).stdout == HELLO
    assert json.loads(ok(wasmdock("inspect", name, "--format", "json")).text)["image"]["shape"] == shape
    ok(wasmdock("extract", name, "-o", tmp_path / "out.wasm"))
    assert ok(wasmdock("run", tmp_path / "out.wasm")).stdout == HELLO


def test_convert_gives_the_same_image_as_packing_in_that_shape(wasmdock: CommandLine) -> None:
    ok(wasmdock("pack", guest("hello"), "-t", "a"))
    ok(wasmdock("convert", "a", "b", "--shape", "artifact"))
    ok(wasmdock("pack", guest("hello"), "-t", "c", "--shape", "artifact"))
    lines = {line["name"]: line["digest"] for line in json.loads(ok(wasmdock("images", "--format", "json")).text)}
    assert lines["b:latest"] == lines["c:latest"] != lines["a:latest"]


def test_diff_shows_what_is_asked_for_anew(wasmdock: CommandLine) -> None:
    done = ok(wasmdock("diff", guest("hello"), guest("read_file")))
    assert ("capabilities\n" in done.text, "  + files\n" in done.text) == (True, True)
    assert ok(wasmdock("diff", guest("hello"), guest("hello"))).text.startswith("no difference\n")
    assert json.loads(ok(wasmdock("diff", guest("hello"), guest("args"), "--format", "json")).text)["imports"]["added"]


def test_verify_says_what_holds_and_what_is_not_there(wasmdock: CommandLine, name: str) -> None:
    lines = [line.split()[:2] for line in ok(wasmdock("verify", name)).text.splitlines()]
    assert lines == [["ok", "digests"], ["-", "provenance"]]


def test_verify_finds_a_spoiled_layer(wasmdock: CommandLine, name: str) -> None:
    blobs = Path(wasmdock.environment["WASMDOCK_HOME"], "images", "blobs", "sha256")
    layer = next(path for path in blobs.iterdir() if path.read_bytes().startswith(b"\x1f\x8b"))
    layer.write_bytes(layer.read_bytes()[:-1] + b"x")
    done = wasmdock("verify", name)
    assert done.code == 1


def test_sbom_of_an_image_without_one_says_how_to_get_one(wasmdock: CommandLine, name: str) -> None:
    ok(wasmdock("push", name))
    done = wasmdock("sbom", name)
    assert (done.code, "there is none" in done.stderr, "wasmdock build" in done.stderr) == (1, True, True)


def test_login_without_a_terminal_says_how(wasmdock: CommandLine, registry: FaultyRegistry) -> None:
    done = wasmdock("login", registry.name, "-u", "me")
    assert (done.code, "--password-stdin" in done.stderr) == (2, True)


def test_login_that_is_refused_says_what_to_check(wasmdock: CommandLine, registry: FaultyRegistry) -> None:
    registry.faults.append(on("GET", "/v2/$", answering(401, WWW_Authenticate='Basic realm="x"')))
    done = wasmdock("login", registry.name, "-u", "me", "--password-stdin", stdin=b"wrong-one\n")
    assert (done.code, "check user and password" in done.stderr, "wrong-one" in done.stderr) == (1, True, False)
    assert f"wasmdock login {registry.name}" not in done.stderr


@pytest.mark.parametrize("name", ["127.0.0.1:5101", "localhost", "registry:5000", "ghcr.io"])
def test_tags_of_a_registry_without_a_repository_asks_nobody(name: str, wasmdock: CommandLine) -> None:
    done = wasmdock("tags", name)
    assert (done.code, f"write {name}/NAME" in done.stderr) == (2, True)


@pytest.mark.cargo
def test_built_image_has_sbom_and_provenance_wherever_it_goes(
    wasmdock: CommandLine, registry: FaultyRegistry, tmp_path: Path
) -> None:
    require_cargo()
    engine = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    name = f"{registry.name}/me/checker:v1"
    ok(wasmdock("build", GUEST, "-t", name, DOCKER_HOST=engine))
    assert "ed25519-compact" in ok(wasmdock("sbom", name)).text
    ok(wasmdock("push", name))
    ok(wasmdock("rmi", name))
    ok(wasmdock("pull", name))
    assert json.loads(ok(wasmdock("sbom", name, "--format", "json")).text)["spdxVersion"] == "SPDX-2.3"
    checks = json.loads(ok(wasmdock("verify", name, "--rebuild", GUEST, "--format", "json", DOCKER_HOST=engine)).text)
    assert [(each["check"], each["holds"]) for each in checks] == [
        ("digests", True),
        ("provenance", True),
        ("rebuild", True),
    ]


def test_registry_of_this_machine_that_is_not_there_is_said_at_once(wasmdock: CommandLine) -> None:
    ok(wasmdock("pack", guest("hello"), "-t", "localhost:1/me/hello:v1"))
    began = time.monotonic()
    done = wasmdock("push", "localhost:1/me/hello:v1")
    assert (done.code, "connection refused" in done.stderr, "trying again" in done.stderr) == (1, True, False)
    assert time.monotonic() - began < 3


def test_repository_without_tags_is_not_told_to_list_them(wasmdock: CommandLine, registry: FaultyRegistry) -> None:
    registry.faults.append(on("GET", "tags/list", answering(404)))
    done = wasmdock("tags", f"{registry.name}/nobody/has-it")
    assert (done.code, "wasmdock tags" in done.stderr) == (1, False)
    assert "    try: check the repository's name; a private one needs wasmdock login" in done.stderr


def test_what_is_tried_again_is_told(wasmdock: CommandLine, name: str, registry: FaultyRegistry) -> None:
    registry.faults.append(on("GET", "/v2/$", answering(503), 1))
    registry.faults.append(on("POST", "uploads", answering(503), 1))
    assert "the registry answered 503: trying again in 0.5 s (2 of 4)\n" in ok(wasmdock("push", name)).stderr
