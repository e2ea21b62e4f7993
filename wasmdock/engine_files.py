"""The engine's own files as seen from this machine: its root, and the Wasm runtime on its PATH."""

import os
import re
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wasmdock.docker_host import Host
from wasmdock.doctor_facts import Shim, ShimKind

SHIM = "containerd-shim-wasmtime-v1"
# What systemd gives to services, and what containerd adds.
_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/opt/containerd/bin")
_INITS = ("systemd", "init")
_OURS = "wasmdock-shim"
_BESIDE = "wasmdock-host"  # the half of ours that holds wasmtime
# Rust keeps the paths of crates' sources for its panics: they tell the version without running anything.
_BUILT_IN = re.compile(rb"wasmtime-(\d+\.\d+\.\d+)")
_MOST_LINKS = 8
_SEARCHED = 256 << 20  # bytes of a shim that are looked through
_USUAL = ("/var/run/docker.sock", "/run/docker.sock")
_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class EngineRoot:
    """The folder that is / for an engine, and the prefix to install below as a path that lasts; empty: none.

    folders are those of its own PATH, as it sees them, where this machine can read it.
    """

    path: Path
    prefix: str
    folders: tuple[str, ...] = ()


def find_root(host: Host) -> EngineRoot | None:
    """The root of the engine behind a Unix socket; None where its process or files are out of reach."""
    if host.socket is None:
        return None
    pid = _peer(host.socket)
    root = Path(f"/proc/{pid}/root") if pid else None
    if root is not None and _is_readable(root):
        folders = _path_of(Path(f"/proc/{pid}"))
        if _same(root, Path("/")):
            return EngineRoot(Path("/"), "/usr/local", folders)
        outside = host.socket.parent.parent  # ROOT of ROOT/run/docker.sock
        prefix = str(outside / "usr/local") if _same(outside / "usr", root / "usr") else ""
        return EngineRoot(root, prefix, folders)
    if str(host.socket) in _USUAL and Path("/proc/self").exists():
        return EngineRoot(Path("/"), "/usr/local")
    return None


def _peer(path: Path) -> int:
    """The process that listens on a Unix socket; 0 where the system does not tell."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return 0
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT)
            connection.connect(str(path))
            answer = connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
    except OSError:
        return 0
    return int(struct.unpack("3i", answer)[0])


def _path_of(process: Path) -> tuple[str, ...]:
    """The folders of a process's PATH; none for systemd, which listens for an engine that it starts with another."""
    try:
        if (process / "comm").read_text().strip() in _INITS:
            return ()
        environment = (process / "environ").read_bytes()
    except (OSError, ValueError):
        return ()
    paths = [each.removeprefix(b"PATH=") for each in environment.split(b"\0") if each.startswith(b"PATH=")]
    return tuple(each for each in os.fsdecode(paths[0]).split(":") if each.startswith("/")) if paths else ()


def _is_readable(root: Path) -> bool:
    try:
        return any(root.iterdir())
    except OSError:
        return False


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def find_shim(root: Path, folders: Sequence[str] = (), *, versions: bool = True) -> Shim:
    """The first shim on the engine's PATH, whose it is and, with versions, which wasmtime it holds.

    folders are those of EngineRoot; the usual ones are looked through after them, as containerd may be a process of
    its own, whose PATH nobody told.
    """
    for name in _places(folders, SHIM):
        file = _followed(root, name)
        if file is None:
            continue
        ours = file.name == _OURS
        version = _wasmtime(file.parent / _BESIDE if ours else file) if versions else ""
        return Shim(ShimKind.OURS if ours else ShimKind.FOREIGN, name, version)
    return Shim(ShimKind.ABSENT)


def find_program(root: Path, name: str, folders: Sequence[str] = ()) -> str:
    """Where the engine finds a program, as it sees it; empty where it does not. folders as for find_shim."""
    return next((place for place in _places(folders, name) if _followed(root, place)), "")


def _places(folders: Sequence[str], name: str) -> Iterator[str]:
    return (f"{folder.rstrip('/')}/{name}" for folder in dict.fromkeys((*folders, *_FOLDERS)))


def _followed(root: Path, name: str) -> Path | None:
    """The file behind a name, its links followed inside the root; None where there is none."""
    path = root / name.lstrip("/")
    try:
        for _ in range(_MOST_LINKS):
            if not path.is_symlink():
                return path if path.is_file() else None
            target = path.readlink()
            path = root / str(target).lstrip("/") if target.is_absolute() else path.parent / target
    except OSError:
        return None
    return None


def _wasmtime(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            found = _BUILT_IN.search(opened.read(_SEARCHED))
    except OSError:
        return ""
    return found[1].decode() if found else ""
