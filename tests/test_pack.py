import gzip
import io
import json
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.images import HELLO, WASM, gzip_layer, hello, image_of, image_with, manifest_of, tar_of
from wasmdock.errors import GuestError, ImageError, UsageError
from wasmdock.guest import Artifact, Target
from wasmdock.oci.image import Digest, Image, Layer
from wasmdock.pack import entry, extract, pack

ROOT = Path(__file__).parent.parent


def _elf(machine: int) -> bytes:
    return b"\x7fELF\2\1\1" + bytes(11) + machine.to_bytes(2, "little") + bytes(44)


def test_a_packed_artifact_is_extracted_byte_for_byte() -> None:
    for data in (WASM, WASM + bytes(100_000)):
        assert extract(pack(replace(HELLO, data=data))) == data


def test_the_same_artifact_gives_the_same_bytes_in_every_process() -> None:
    code = "from tests.images import hello; print(hello(env={'B': '1', 'A': '2'}).digest)"
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo"}
        command = [sys.executable, "-c", code]
        output = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
        assert output.strip() == str(hello(env={"B": "1", "A": "2"}).digest)


def test_without_a_time_an_image_is_of_1970_and_does_not_claim_otherwise() -> None:
    assert hello().created == "1970-01-01T00:00:00Z"
    assert "org.opencontainers.image.created" not in hello().annotations


def test_source_date_epoch_dates_the_image_but_not_its_layer() -> None:
    image = hello(created=1_700_000_000)
    assert image.created == image.annotations["org.opencontainers.image.created"] == "2023-11-14T22:13:20Z"
    assert image.layers == hello().layers


def test_the_layer_is_one_plain_file_of_root() -> None:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(hello().layers[0].data))) as tar:
        (member,) = tar.getmembers()
    assert (member.name, member.mode, member.mtime) == ("hello.wasm", 0o755, 0)
    assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")


def test_nothing_in_the_gzip_header_varies() -> None:
    assert hello().layers[0].data[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"


def test_labels_and_annotations_have_the_names_of_the_oci() -> None:
    described = {
        "org.opencontainers.image.title": "hello",
        "org.opencontainers.image.version": "1.2.3",
        "org.opencontainers.image.description": "Says hello",
        "org.opencontainers.image.licenses": "MIT",
    }
    assert hello().labels == hello().annotations == described


def test_what_the_caller_says_wins_over_what_the_guest_says() -> None:
    title = {"org.opencontainers.image.title": "mine"}
    image = hello(labels=title, annotations=title)
    assert image.labels["org.opencontainers.image.title"] == "mine"
    assert image.annotations["org.opencontainers.image.title"] == "mine"


@pytest.mark.parametrize(("machine", "platform"), [(62, "linux/amd64"), (183, "linux/arm64"), (243, "linux/riscv64")])
def test_a_native_artifact_is_for_the_machine_in_its_header(machine: int, platform: str) -> None:
    image = pack(Artifact("hello", Target.NATIVE, _elf(machine)))
    assert (str(image.platform), image.entrypoint) == (platform, ("/hello",))
    assert extract(image) == _elf(machine)


@pytest.mark.parametrize(
    "artifact",
    [
        Artifact("a", Target.WASIP1, _elf(62)),
        Artifact("a", Target.WASIP2, b""),
        Artifact("a", Target.NATIVE, WASM),
        Artifact("a", Target.NATIVE, _elf(9999)),
        Artifact("a", Target.NATIVE, b"\x7fELF"),
    ],
)
def test_an_artifact_that_is_not_what_its_target_says_is_refused(artifact: Artifact) -> None:
    with pytest.raises(GuestError, match='packing "a": its bytes are not'):
        pack(artifact)


@pytest.mark.parametrize("name", ["", "Hello", "a/b", "../a", ".wh.a", "a b", "a" * 96, "a\n"])
def test_a_name_that_cannot_be_a_file_and_an_image_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="it cannot name an image"):
        pack(replace(HELLO, name=name))


@pytest.mark.parametrize(
    "options",
    [
        {"env": {"": "x"}},
        {"env": {"A=B": "x"}},
        {"env": {"A": "x\0y"}},
        {"labels": {"a": "\0"}},
        {"args": ["\ud800"]},
        {"created": -1},
        {"created": 1 << 60},
    ],
)
def test_a_value_that_no_image_can_hold_is_a_usage_error(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="^packing"):
        hello(**options)


def test_the_entry_is_the_entrypoint_with_the_defaults_after_it() -> None:
    found = entry(hello(entrypoint=["/hello.wasm#greet", "-v"], args=["a", "b"]))
    assert (found.path, found.export, found.arguments, found.defaults) == (
        "/hello.wasm",
        "greet",
        ("-v",),
        ("a", "b"),
    )
    assert found.argv() == ("/hello.wasm", "-v", "a", "b")
    assert found.argv(["c"]) == ("/hello.wasm", "-v", "c")


def test_without_entrypoint_the_command_is_the_program() -> None:
    image = image_with(tar_of({"app.wasm": WASM}), run={"Entrypoint": None, "Cmd": ["/app.wasm", "x"]})
    assert entry(image).argv() == ("/app.wasm", "x")
    assert extract(image) == WASM


@pytest.mark.parametrize(
    "run", [{"Entrypoint": None}, {"Entrypoint": []}, {"Entrypoint": [""]}, {"Entrypoint": ["#f"]}]
)
def test_an_image_that_starts_nothing_is_an_image_error(run: dict[str, Any]) -> None:
    with pytest.raises(ImageError, match="it has neither ENTRYPOINT nor CMD"):
        extract(image_with(tar_of({"app.wasm": WASM}), run=run))


@pytest.mark.parametrize(
    ("run", "name"),
    [
        ({"Entrypoint": ["app.wasm"]}, "app.wasm"),
        ({"Entrypoint": ["./app.wasm"]}, "app.wasm"),
        ({"Entrypoint": ["/app.wasm#func"]}, "app.wasm"),
        ({"Entrypoint": ["app.wasm"], "WorkingDir": "/srv/x"}, "srv/x/app.wasm"),
        ({"Entrypoint": ["bin/app.wasm"], "WorkingDir": "/srv"}, "srv/bin/app.wasm"),
        ({"Entrypoint": ["app.wasm"], "Env": ["PATH=/usr/bin:/bin"], "WorkingDir": "/srv"}, "bin/app.wasm"),
        ({"Entrypoint": ["app.wasm"], "Env": ["PATH=/usr/bin:/bin"]}, "app.wasm"),
    ],
)
def test_a_relative_entrypoint_is_found_as_a_container_would(run: dict[str, Any], name: str) -> None:
    assert extract(image_with(tar_of({name: WASM, "other.wasm": b""}), run=run)) == WASM


def test_a_wrong_entrypoint_is_answered_with_the_one_wasm_file_there_is() -> None:
    image = image_with(tar_of({"real.wasm": WASM, "readme": b""}))
    with pytest.raises(ImageError, match='reading "/app.wasm" in the image: there is no such file') as caught:
        extract(image)
    assert caught.value.hint == 'it has /real.wasm: say ENTRYPOINT ["/real.wasm"] in its Dockerfile'


@pytest.mark.parametrize(
    ("files", "hint"),
    [
        ({"a.wasm": WASM, "b.wasm": WASM}, "it has /a.wasm, /b.wasm: name one"),
        ({"x": b""}, "no .wasm file at all"),
    ],
)
def test_a_wrong_entrypoint_is_answered_with_what_there_is(files: dict[str, bytes], hint: str) -> None:
    with pytest.raises(ImageError) as caught:
        extract(image_of(gzip_layer(tar_of(files)), run={"Entrypoint": ["/sh"]}))
    assert hint in caught.value.hint


def test_an_entrypoint_that_leads_out_of_the_image_is_refused() -> None:
    with pytest.raises(ImageError, match="leads out of the image"):
        extract(image_with(tar_of({"app.wasm": WASM}), run={"Entrypoint": ["../app.wasm"]}))


def _bare(count: int) -> Image:
    layers = tuple(Layer.of("application/wasm", WASM) for _ in range(count))
    config = json.dumps({"os": "wasip1", "architecture": "wasm", "config": {"Entrypoint": ["app.wasm"]}}).encode()
    return Image(manifest_of(config, layers), config, layers)


def test_a_bare_wasm_layer_is_extracted_as_it_is() -> None:
    assert extract(_bare(1)) == WASM
    assert _bare(1).unpacked_size == len(WASM)


def test_more_than_one_bare_wasm_layer_is_refused() -> None:
    with pytest.raises(ImageError, match="it has 2 Wasm layers instead of one"):
        extract(_bare(2))


def test_the_config_promises_the_digest_of_the_unpacked_layer() -> None:
    image = hello()
    assert image.diff_ids == (Digest.of(gzip.decompress(image.layers[0].data)),)
