"""The Rust crate shim/: its own tests, its style, and the wheel that carries its programs."""

import os
import shutil
import subprocess
import venv
import zipfile
from pathlib import Path

import pytest

from tests.shim_matrix import ROOT, binaries

SHIM = ROOT / "shim"
LONG = pytest.mark.timeout(2400)  # everything is compiled once


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """What scripts/shim builds with, so that nothing is compiled twice."""
    if not shutil.which("cargo"):
        pytest.skip("no cargo")
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    cache = Path(os.environ.get("WASMDOCK_CACHE") or f"{home}/wasmdock") / "shim"
    said = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    host = next(line.removeprefix("host: ") for line in said.splitlines() if line.startswith("host: "))
    return {
        "CARGO_TARGET_DIR": str(cache / "target"),
        **os.environ,
        "CARGO_BUILD_TARGET": host,
        "RUSTFLAGS": "-C target-feature=+crt-static",
    }


def cargo(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = ["cargo", *arguments, "--manifest-path", str(SHIM / "Cargo.toml")]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=2400)


def test_crate_is_formatted(environment: dict[str, str]) -> None:
    done = cargo(environment, "fmt", "--check")
    assert done.returncode == 0, done.stdout


@LONG
@pytest.mark.cargo
def test_own_tests_of_the_crate_pass(environment: dict[str, str]) -> None:
    done = cargo(environment, "test", "--locked", "--release")
    assert done.returncode == 0, done.stdout + done.stderr


@LONG
@pytest.mark.cargo
def test_programs_are_static_and_say_their_version() -> None:
    folder = binaries()
    said = subprocess.run([folder / "wasmdock-shim", "--version"], capture_output=True, text=True).stdout
    assert said.startswith("wasmdock-shim 0.1.0 (wasmtime 48.")
    for name in ("wasmdock-shim", "wasmdock-host"):
        assert b"ld-linux" not in (folder / name).read_bytes()[:4096]


@LONG
@pytest.mark.cargo
def test_wheel_brings_programs_that_run(tmp_path: Path) -> None:
    binaries()
    tools = tmp_path / "tools"
    venv.create(tools, with_pip=True)
    pip(tools, "install", "--quiet", "maturin>=1.9,<2")
    path = f"{tools / 'bin'}{os.pathsep}{os.environ['PATH']}"
    argv = [str(ROOT / "scripts/shim"), "wheel", str(tmp_path / "wheels")]
    built = subprocess.run(argv, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    wheel = next((tmp_path / "wheels").glob("wasmdock_shim-*.whl"))
    assert {"wasmdock-shim", "wasmdock-host"} <= {Path(name).name for name in zipfile.ZipFile(wheel).namelist()}
    clean = tmp_path / "clean"
    venv.create(clean, with_pip=True)
    pip(clean, "install", "--quiet", "--no-index", str(wheel))
    done = subprocess.run([clean / "bin/wasmdock-shim", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("wasmdock-shim ")


def pip(environment: Path, *arguments: str) -> None:
    done = subprocess.run([environment / "bin/python", "-m", "pip", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_files_stay_readable() -> None:
    long = {path.name for path in SHIM.rglob("src/**/*.rs") if len(path.read_text().splitlines()) > 400}
    assert not long
