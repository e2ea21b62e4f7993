"""The program wasmdock-host without a container: found, given code compiled for it and a launch.

Its contract (shim/src/launch.rs) is one environment variable, WASMDOCK_LAUNCH, and one line on stderr when it listens.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wasmdock.aside import is_private, write_aside
from wasmdock.docker_call import UNCOUNTED
from wasmdock.errors import GuestError, UnavailableError
from wasmdock.runtime import Limits, Mount
from wasmdock.wasm_sniff import Form, World, sniff

if TYPE_CHECKING:
    from wasmdock.process import Runner

NAME = "wasmdock-host"
LAUNCH = "WASMDOCK_LAUNCH"  # shim/src/launch.rs
SERVING = "wasmdock: serving on "
DEFAULT_PORT = 8080
MISSING = UnavailableError(
    "serving wasi:http without a container: the program wasmdock-host is not here",
    "in a clone of wasmdock, with cargo: scripts/shim (once, some ten minutes); else name its folder in WASMDOCK_SHIM",
)
_PREFIXES = ("/usr/local", "/usr")
_COMPILE_TIME = 120.0
DRAIN = 8.0  # seconds that requests in flight are given at the end
_ROOM = 512 << 20  # bytes of compiled code that are kept


def find_host(beside: Path, cache: Path, given: str = "") -> Path | None:
    """The program: in the folder `given` (WASMDOCK_SHIM), `beside` (this environment's programs), where
    `wasmdock engine install` puts it, or built by scripts/shim below `cache`; None where it is not."""
    folders = [*([Path(given)] if given else []), beside]
    folders += [Path(prefix, "libexec/wasmdock") for prefix in _PREFIXES]
    built = cache / "shim"
    if built.is_dir():
        ours = (each for each in built.iterdir() if each.name != "target" and not each.name.startswith("."))
        folders += sorted(ours, key=lambda each: -each.stat().st_mtime)
    return next((folder / NAME for folder in folders if (folder / NAME).is_file()), None)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A guest's code as the host loads it, and how it was compiled."""

    path: Path
    tuning: Mapping[str, Any]


def compile_for_host(
    host: Path, data: bytes, cache: Path, runner: "Runner | None" = None, *, fuel: bool = False
) -> Compiled:
    """Compile a binary, or find it in `cache`. Raises GuestError where it cannot be compiled."""
    form, world = sniff(data)
    tuning = {
        "form": "Component" if form is Form.COMPONENT else "Module",
        "fuel": fuel,
        "epochs": form is Form.COMPONENT and world is World.HTTP,
    }
    stamp = host.stat()
    identity = json.dumps([str(host), stamp.st_size, stamp.st_mtime_ns, tuning]).encode()
    key = hashlib.sha256(identity + hashlib.sha256(data).digest()).hexdigest()
    folder = cache / "host"
    path = _kept(folder, key)
    if path is None:
        from wasmdock.process import run_command

        words = [str(host), "compile", json.dumps(tuning)]
        done = (runner or run_command)(words, timeout=_COMPILE_TIME, stdin=data, env={}, cap=1 << 30)
        if done.code != 0:
            said = done.stderr_text().splitlines() or [f"exit code {done.code}"]
            raise GuestError(f"compiling the guest: {said[-1]}")
        path = _keep(folder, key, done.stdout)
    return Compiled(path, tuning)


def _kept(folder: Path, key: str) -> Path | None:
    """The file KEY.SHA256 whose content is what its name says; a spoiled one is thrown away."""
    with suppress(OSError):
        if not is_private(folder):
            return None
        for path in folder.glob(f"{key}.*"):
            if path.suffix == f".{hashlib.sha256(path.read_bytes()).hexdigest()}":
                return path
            path.unlink()
    return None


def _keep(folder: Path, key: str, code: bytes) -> Path:
    path = folder / f"{key}.{hashlib.sha256(code).hexdigest()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not is_private(folder):
            raise PermissionError(0, "others may write to it")
        write_aside(path, code)
    except OSError as error:
        raise UnavailableError(
            f'keeping compiled code in "{folder}": {error.strerror}', "set WASMDOCK_CACHE to a folder of yours"
        ) from error
    _trim(folder)
    return path


def _trim(folder: Path) -> None:
    """Remove the oldest beyond what there is room for; a program that runs keeps what it has mapped."""
    entries = []
    for path in folder.iterdir():
        with suppress(OSError):  # others write and trim, too
            status = path.stat()
            entries.append((status.st_mtime, status.st_size, path))
    total = 0
    for _, size, path in sorted(entries, reverse=True):
        total += size
        if total > _ROOM:
            with suppress(OSError):
                path.unlink()


@dataclass(frozen=True, slots=True)
class Launch:
    """One guest to be run or served by the host: its code, what it is granted, where it listens.

    environment is all that the guest sees. Of the limits the host keeps memory, tables, stack, fuel (where the code
    was compiled to count it) and timeout, which is that of each request of a guest that is served (30 s where there is
    none). address is HOST:PORT; port 0 is any free one. marks: it says on stderr how long its steps took.
    """

    code: Compiled
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    address: str = "127.0.0.1:0"
    limits: Limits = field(default_factory=lambda: Limits(memory=None))
    export: str = ""
    drain: float = DRAIN
    marks: bool = False

    def variables(self) -> dict[str, str]:
        """The whole environment of the program; the guest sees all of it but the launch."""
        return {**self.environment, LAUNCH: json.dumps(self._document())}

    def _document(self) -> dict[str, Any]:
        granted = [(str(each.host), each.guest, not each.read_only) for each in self.mounts]
        limits = self.limits
        settings: dict[str, Any] = {
            "memory": limits.memory,
            "tables": UNCOUNTED if limits.tables is None else limits.tables,
            "timeout": None if limits.timeout is None else max(1, round(limits.timeout * 1000)),
            "fuel": limits.fuel,
            "stack": limits.stack,
            "rootfs": "Hidden",
            "renamed": [],
            "address": self.address,
            "backlog": 1024,
            "concurrency": 128,
            "drain": round(self.drain * 1000),
            "marks": self.marks,
        }
        return {
            "code": str(self.code.path),
            "tuning": dict(self.code.tuning),
            "export": self.export or None,
            "folders": [dict(zip(("host", "guest", "writable"), each, strict=True)) for each in granted],
            "settings": settings,
            "fault": None,
        }
