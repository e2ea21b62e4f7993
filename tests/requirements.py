"""What a test may need of the machine: it is there, or the test skips saying what is missing, or fails if required."""

import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from wasmdock.docker_host import find_host, ping
from wasmdock.errors import WasmdockError

REQUIRED: set[str] = set()  # filled by conftest from --require


def require_docker() -> str:
    """The engine's address, or the end of the test."""
    answer = _engine()
    if not answer.startswith("unix://"):
        _missing("docker", answer)
    return answer


def require_cargo() -> str:
    """How guests are compiled here: `host` or `builder image`, or the end of the test."""
    rustc = shutil.which("rustc")
    if rustc and _has_target(rustc):
        return "host"
    if not _engine().startswith("unix://"):
        _missing("cargo", "no Rust toolchain with the wasm32-wasip1 target, and no Docker engine to build in")
    return "builder image"


@functools.cache
def _engine() -> str:
    try:
        host = find_host(os.environ)
        ping(host, 5.0)
    except WasmdockError as error:
        return f"no Docker engine: {error.message}"
    return host.url


@functools.cache
def _has_target(rustc: str) -> bool:
    argv = [rustc, "--print", "target-libdir", "--target", "wasm32-wasip1"]
    try:
        folder = subprocess.run(argv, capture_output=True, timeout=60, check=True).stdout.decode().strip()
    except subprocess.SubprocessError:
        return False
    return any(Path(folder).glob("libcore-*"))


def _missing(what: str, why: str) -> NoReturn:
    if what in REQUIRED:
        pytest.fail(f"--require {what}: {why}")
    pytest.skip(why)
