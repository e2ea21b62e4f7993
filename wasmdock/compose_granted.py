"""Files granted to a guest, by configs, secrets or mounts: each in a folder that holds only such files.

WASI grants folders, no files: the runtime of Wasm containers shows files the same way (shim/README.md).
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from wasmdock.compose import Stack
from wasmdock.compose_service import Service, Volume
from wasmdock.compose_yaml import Node
from wasmdock.errors import UsageError
from wasmdock.runtime import Mount


@dataclass(frozen=True, slots=True)
class Granted:
    """One file: what the guest calls it, its bytes or the file it is, and where that is said."""

    target: PurePosixPath
    where: str
    data: bytes | None = None
    file: Path | None = None
    read_only: bool = True


def granted_files(stack: Stack, service: Service) -> list[Granted]:
    """All files a service is granted. Raises UsageError with file and line."""
    found = []
    for kind, folder in (("configs", "/"), ("secrets", "/run/secrets")):
        listed = service.node.get(kind)
        for item in listed.items if listed else ():
            source, target = item.map["source"].text, item.get("target")
            path = PurePosixPath(folder, target.text if target else source)
            found.append(Granted(path, item.where, _data(stack, kind, source, item)))
    for volume in service.volumes:
        if is_file_mount(volume):
            where = f"{service.node.file}:{volume.line}"
            file = Path(volume.source).resolve()
            found.append(Granted(PurePosixPath(volume.target), where, file=file, read_only=volume.read_only))
    return found


def is_file_mount(volume: Volume) -> bool:
    """Whether a volume is a single file of the host."""
    return volume.kind == "bind" and Path(volume.source).is_file()


def _data(stack: Stack, kind: str, source: str, item: Node) -> bytes:
    what = f'{item.where}: {kind[:-1]} "{source}"'
    definition = stack.root.get(kind, source) or Node({})
    content, file, variable = (definition.get(key) for key in ("content", "file", "environment"))
    if content is not None:
        return content.text.encode()
    if variable is not None:
        if variable.text not in stack.variables:
            raise UsageError(f'{what}: the variable "{variable.text}" is not set')
        return os.fsencode(stack.variables[variable.text])
    if file is None:
        raise UsageError(f"{what} is kept by Docker, and needs a container", "name its `file`, or use --on docker")
    try:
        return Path(file.text).read_bytes()
    except OSError as error:
        raise UsageError(f'{what}: reading "{file.text}": {error.strerror}') from error


def granted_mounts(files: Iterable[Granted], folder: Path, taken: Iterable[Mount]) -> list[Mount]:
    """Lay the files out below `folder`, one folder for each that the guest sees; taken are its other mounts."""
    targets = {str(PurePosixPath(each.guest)) for each in taken}
    groups: dict[str, list[Granted]] = {}
    for each in files:
        groups.setdefault(str(each.target.parent), []).append(each)
    return [_laid_out(parent, group, folder, targets) for parent, group in groups.items()]


def _laid_out(parent: str, group: list[Granted], folder: Path, taken: set[str]) -> Mount:
    first = group[0]
    if parent in taken:
        raise UsageError(
            f'{first.where}: "{first.target}" lies in a folder that is mounted itself: a guest sees one of the two',
            "put the file into that folder, or give it another target",
        )
    if len({each.read_only for each in group}) > 1:
        raise UsageError(
            f'{first.where}: "{parent}" holds files to read and files to write: a guest is granted the folder as one',
            "give them targets in two folders",
        )
    place = folder / (parent.strip("/").replace("/", "-") or "root")
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in place.iterdir():
        if old.name not in {each.target.name for each in group}:
            old.unlink()
    for each in group:
        _put(each, place / each.target.name)
    return Mount(place, parent, first.read_only)


def _put(granted: Granted, path: Path) -> None:
    aside = path.with_name(f".{path.name}-{os.getpid()}")
    with suppress(FileNotFoundError):
        aside.unlink()
    if granted.file is None or not _linked(granted.file, aside):
        if not granted.read_only:
            raise UsageError(
                f'{granted.where}: "{granted.file}" cannot be shared with the guest for writing: '
                "it is on another disk, or another user's",
                "mount the folder it lies in, or add :ro",
            )
        data = granted.data
        if data is None:
            assert granted.file
            data = granted.file.read_bytes()
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as opened:
            opened.write(data)
    aside.replace(path)


def _linked(file: Path, path: Path) -> bool:
    """A second name of the same file: what either side writes the other sees, as with Docker's own file mounts."""
    try:
        path.hardlink_to(file)
    except OSError:
        return False
    return True
