"""The program wasmdock-host run without a container: what it is told to serve or run one guest."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wasmdock.errors import GuestError, UnavailableError
from wasmdock.process import Runner, run_command
from wasmdock.runtime import Mount
from wasmdock.wasm_sniff import Form, World, sniff

LAUNCH = "WASMDOCK_LAUNCH"  # shim/src/launch.rs
SERVING = "wasmdock: serving on "
DEFAULT_PORT = 8080
_COMPILE_TIME = 120.0
_TABLES = 1_000_000
_DRAIN = 8_000  # milliseconds
MISSING = UnavailableError(
    "serving wasi:http without a container: the program wasmdock-host is not here",
    "pip install 'wasmdock[shim]', or in a checkout with cargo: scripts/shim",
)


def compile_for_host(host: Path, data: bytes, cache: Path, runner: Runner = run_command) -> tuple[Path, dict[str, Any]]:
    """The compiled code of a binary as a file in `cache`, and how it was compiled. Raises GuestError."""
    form, world = sniff(data)
    tuning = {
        "form": "Component" if form is Form.COMPONENT else "Module",
        "fuel": False,
        "epochs": form is Form.COMPONENT and world is World.HTTP,
    }
    stamp = host.stat()
    identity = json.dumps([str(host), stamp.st_size, stamp.st_mtime_ns, tuning]).encode()
    path = cache / f"{hashlib.sha256(identity + hashlib.sha256(data).digest()).hexdigest()}.host"
    if not (path.is_file() and path.stat().st_uid == os.getuid() and not cache.stat().st_mode & 0o022):
        done = runner(
            [str(host), "compile", json.dumps(tuning)], timeout=_COMPILE_TIME, stdin=data, env={}, cap=1 << 30
        )
        if done.code != 0:
            raise GuestError(f"compiling the guest: {done.stderr_text().splitlines()[-1:] or done.code}")
        _keep(path, done.stdout)
    return path, tuning


def _keep(path: Path, code: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with os.fdopen(handle, "wb") as file:
        file.write(code)
    Path(name).replace(path)


def launch_environment(
    code: Path,
    tuning: Mapping[str, Any],
    environment: Mapping[str, str],
    mounts: tuple[Mount, ...],
    address: str,
    memory: int | None,
    export: str = "",
) -> dict[str, str]:
    """The whole environment of wasmdock-host for one guest; the guest sees all of it but the launch."""
    folders = [{"host": str(each.host), "guest": each.guest, "writable": not each.read_only} for each in mounts]
    settings: dict[str, Any] = {
        "memory": memory,
        "tables": _TABLES,
        "timeout": None,
        "fuel": None,
        "rootfs": "Hidden",
        "renamed": [],
        "address": address,
        "backlog": 1024,
        "concurrency": 128,
        "drain": _DRAIN,
    }
    launch = {
        "code": str(code),
        "tuning": tuning,
        "export": export or None,
        "folders": folders,
        "settings": settings,
        "fault": None,
    }
    return {**environment, LAUNCH: json.dumps(launch)}
