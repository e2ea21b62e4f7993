"""The guests' folders and the sample guests have the shape that everything else relies on."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import wasmtime

ROOT = Path(__file__).parent.parent
FOLDERS = sorted(path.parent for path in (ROOT / "dockerfiles").glob("*/Cargo.toml"))
SAMPLES = sorted((ROOT / "tests" / "guests").glob("*.wat"))

each_guest = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
each_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)


def manifest(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "Cargo.toml").read_text())


def dockerfile(folder: Path) -> list[str]:
    """The Dockerfile's instructions: comments and blank lines gone, continued lines joined."""
    text = (folder / "Dockerfile").read_text().replace("\\\n", " ")
    return [" ".join(line.split()) for line in text.splitlines() if line and not line.startswith("#")]


def final_stage(folder: Path) -> list[str]:
    lines = dockerfile(folder)
    start = max(index for index, line in enumerate(lines) if line.startswith("FROM "))
    return lines[start:]


@each_guest
def test_guest_is_named_after_its_folder(folder: Path) -> None:
    assert manifest(folder)["package"]["name"] == folder.name


@each_guest
def test_guest_is_built_for_size(folder: Path) -> None:
    assert manifest(folder)["profile"]["release"] == {
        "opt-level": "z",
        "lto": True,
        "codegen-units": 1,
        "strip": True,
        "panic": "abort",
    }


@each_guest
def test_guest_builds_with_the_rust_of_debian_trixie(folder: Path) -> None:
    assert manifest(folder)["package"]["rust-version"] == "1.85"


@each_guest
def test_guest_pins_its_dependencies(folder: Path) -> None:
    locked = tomllib.loads((folder / "Cargo.lock").read_text())
    names = {package["name"] for package in locked["package"]}
    assert names >= {folder.name, *manifest(folder).get("dependencies", {})}


@each_guest
def test_image_is_the_one_wasm_file_on_nothing(folder: Path) -> None:
    stage = final_stage(folder)
    copies = [line for line in stage if line.startswith(("COPY", "ADD", "RUN"))]
    wasm = f"/{folder.name}.wasm"
    assert stage[0] == "FROM scratch"
    assert copies == [f"COPY --from=build {wasm} {wasm}"]


@each_guest
def test_image_starts_the_guest_and_stops_it_by_sigint(folder: Path) -> None:
    stage = final_stage(folder)
    assert stage[-2:] == ["STOPSIGNAL SIGINT", f"ENTRYPOINT {json.dumps([f'/{folder.name}.wasm'])}"]


@each_guest
def test_image_labels_say_what_the_manifest_says(folder: Path) -> None:
    package = manifest(folder)["package"]
    (label,) = (line for line in final_stage(folder) if line.startswith("LABEL "))
    for key, value in (("title", "name"), ("description", "description"), ("licenses", "license")):
        assert f'org.opencontainers.image.{key}="{package[value]}"' in label


@each_guest
def test_certificates_of_this_machine_stay_out_of_the_image(folder: Path) -> None:
    assert not [line for line in dockerfile(folder) if line.startswith(("COPY", "ADD")) and ".crt" in line]
    assert all("--mount=type=secret,id=ca" in line for line in dockerfile(folder) if "cargo build" in line)


@pytest.mark.parametrize("name", ["hello-world", "is-thirteen", "signature-checker"])
def test_guest_has_a_native_baseline(name: str) -> None:
    folder = ROOT / "dockerfiles" / name
    lines = dockerfile(folder)
    start = lines.index("FROM debian:trixie-slim AS native")
    assert f'ENTRYPOINT ["/{folder.name}"]' in lines[start : start + 4]


@each_sample
def test_sample_guest_compiles(sample: Path) -> None:
    assert wasmtime.wat2wasm(sample.read_text()).startswith(b"\0asm")


@each_sample
def test_sample_guest_says_on_top_what_it_shows(sample: Path) -> None:
    assert sample.read_text().startswith(";; ")
