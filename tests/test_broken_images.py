"""Broken images, each made for real and started: one line says what is wrong, one what to do."""

import gzip
import tarfile
from pathlib import Path

import pytest

from tests.conftest import GUESTS, sample
from tests.images import image_of, image_with, plain_layer, special, tar_of
from tests.requirements import require_docker
from wasmdock.cli import run_cli
from wasmdock.engine import assemble
from wasmdock.guest import Artifact, Target
from wasmdock.oci.archive import write_archive
from wasmdock.oci.image import Image, Layer
from wasmdock.pack import pack

WASM = assemble((GUESTS / "hello.wat").read_bytes(), "hello")
BARE = "application/wasm"


def holding(content: bytes, **config: object) -> Image:
    """An image for wasi/wasm whose /app.wasm is this."""
    return image_with(tar_of({"app.wasm": content}), **config)


def started_at(*entrypoint: str) -> Image:
    return image_of(plain_layer(tar_of({"app.wasm": WASM})), run={"Entrypoint": list(entrypoint)})


def bare(*contents: bytes) -> Image:
    layers = [(Layer.of(BARE, content), plain_layer(content)[1]) for content in contents]
    return image_of(*layers)


def library() -> Image:
    return pack(Artifact("add", Target.WASIP1, assemble((GUESTS / "add.wat").read_bytes(), "add")))


LINUX = {"os": "linux", "architecture": "amd64"}
OTHER = "compile it for wasm32-wasip1, or build the image for its own platform"
BROKEN: list[tuple[str, Image, str, str]] = [
    # what is broken, the image, what is said, what to do
    ("a Linux program", holding(b"\x7fELF\2\1\1\0"), "an ELF file: a Linux program, not Wasm", OTHER),
    ("a shell script", holding(b"#!/bin/sh\n"), "a script, not Wasm", OTHER),
    ("a macOS program", holding(b"\xcf\xfa\xed\xfe"), "a macOS program, not Wasm", OTHER),
    ("gzipped Wasm", holding(gzip.compress(WASM)), "compressed with gzip", "unpack it first"),
    ("compiled Wasm", holding(b"\x7fELF\2\1\1\xc8"), "already compiled by wasmtime (.cwasm)", "give the .wasm file"),
    ("the text form", holding(b"(module)"), "WebAssembly text (.wat)", "wasm-tools parse"),
    ("LLVM bitcode", holding(b"BC\xc0\xde"), "LLVM bitcode, not a linked Wasm binary", OTHER),
    ("a static library", holding(b"!<arch>\n"), "a static library (ar archive)", OTHER),
    ("an empty file", holding(b""), "an empty file", OTHER),
    ("half a binary", holding(WASM[: len(WASM) // 2]), "not a sound Wasm binary", "copy or build the file again"),
    ("a component of a draft", holding(b"\0asm\x0a\0\1\0"), "a component in the draft format 10", "build it again"),
    ("no such file", started_at("/main.wasm"), "main.wasm", 'it has /app.wasm: say ENTRYPOINT ["/app.wasm"]'),
    ("no Wasm at all", image_with(tar_of({"README": b"x"})), "app.wasm", "it has no .wasm file at all"),
    ("a folder", image_with(tar_of({"app.wasm": special("app.wasm", tarfile.DIRTYPE)})), "app.wasm", ""),
    ("no entrypoint", started_at(), "it has neither ENTRYPOINT nor CMD", ""),
    ("no such export", started_at("/app.wasm#gone"), 'at "gone": it exports no such function', "it exports: _start"),
    ("two Wasm layers", bare(WASM, WASM), "it has 2 Wasm layers instead of one", ""),
    ("a library", library(), "it has no command", "wasmdock invoke"),
    ("an unknown import", sample("needs_import"), "resolving the guest's imports", "wasm32-wasip1 or wasm32-wasip2"),
    ("a native one, no engine", holding(b"\x7fELF", **LINUX), "only Wasm runs here", "leave --on process"),
]  # fmt: skip

# What our runtime in Docker says in its own words.
IN_DOCKER = {
    "no such export": ("the guest has no export gone; it exports memory, _start", ""),
    "an unknown import": ("unknown import: `env::missing` has not been defined", ""),
    "a native one, no engine": ("the image's entrypoint may not be executed", ""),
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WASMDOCK_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("on", ["process", pytest.param("docker", marks=pytest.mark.docker)])
@pytest.mark.parametrize("name, image, sentence, cure", BROKEN, ids=[row[0] for row in BROKEN])
def test_broken_image_is_told_in_a_line_with_its_cure(
    on: str, name: str, image: Image, sentence: str, cure: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if on == "docker":
        require_docker()
        sentence, cure = IN_DOCKER.get(name, (sentence, cure))
    file = tmp_path / "image.tar"
    write_archive(image, file)
    assert run_cli(["run", "--on", on, str(file)]) == 125
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("wasmdock: ") and sentence in said[0]
    assert name in IN_DOCKER or all(line.startswith(("    try: ", "         ")) for line in said[1:])
    assert cure in "\n".join(said[1:])


@pytest.mark.parametrize(
    "platform", [{"os": "wasi", "architecture": "wasm32"}, {"os": "wasip1", "architecture": "wasm"}, LINUX]
)
def test_image_with_a_strange_platform_still_runs_in_this_process(
    platform: dict[str, str], runtime: object, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "image.tar"
    write_archive(holding(WASM, **platform), file)
    assert run_cli(["run", "--on", "process", str(file)]) == 0
    assert capfd.readouterr().out == "Hello from a sample guest!\n"
