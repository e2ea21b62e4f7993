"""The files a guest is built from: found, read and summed up in one digest."""

import hashlib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wasmdock.errors import GuestError

_CAP = 512 << 20
# What cargo and rustup read from the folders above a crate.
_ABOVE = ("Cargo.toml", "Cargo.lock", ".cargo/config.toml", ".cargo/config", "rust-toolchain.toml", "rust-toolchain")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file: its path within the guest's folder, in POSIX form, its bytes, and whether it may be executed."""

    path: str
    data: bytes
    executable: bool = False


def read_sources(folder: Path) -> tuple[SourceFile, ...]:
    """Read all files of a guest's folder, in order, without .git and cargo's target folder.

    A symlink within the folder counts as what it leads to; one that leads outside is an error: the file would
    be missing wherever else the guest is built. Raises GuestError.
    """
    files, total = [], 0
    root = folder.resolve()
    for path in _walk(folder):
        try:
            if not path.resolve(strict=True).is_relative_to(root):
                raise GuestError(
                    f'reading guest "{folder}": "{path.relative_to(folder)}" leads outside the folder',
                    "copy the file into the guest's folder",
                )
            data, mode = path.read_bytes(), path.stat().st_mode
        except OSError as error:
            raise GuestError(f'reading guest "{folder}": {error.strerror}: "{error.filename}"') from error
        total += len(data)
        if total > _CAP:
            raise GuestError(f'reading guest "{folder}": more than {_CAP >> 20} MiB of files', "is this a crate?")
        files.append(SourceFile(path.relative_to(folder).as_posix(), data, bool(mode & 0o100)))
    return tuple(files)


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(name for name in folders if not _is_left_out(here, name, here == folder))
        for name in folders[:]:
            if (here / name).is_symlink():  # os.walk does not enter it; reading it says what is wrong
                folders.remove(name)
                yield here / name
        yield from (here / name for name in sorted(names) if (here / name).is_file() or (here / name).is_symlink())


def _is_left_out(here: Path, name: str, at_top: bool) -> bool:
    """Cargo marks its target folders; a module named target is source."""
    return name == ".git" or (name == "target" and (at_top or (here / name / "CACHEDIR.TAG").exists()))


def digest_sources(folder: Path, sources: tuple[SourceFile, ...]) -> str:
    """One hex digest of all that cargo reads for a guest on this machine.

    That is its folder, the crates it names by path outside it, and cargo's files in the folders above.
    """
    digest = hashlib.sha256()
    for file in (*sources, *_outside(folder, sources)):
        for part in (file.path.encode(), b"x" if file.executable else b"-", file.data):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _outside(folder: Path, sources: tuple[SourceFile, ...]) -> Iterator[SourceFile]:
    for above in folder.resolve().parents:
        for name in _ABOVE:
            file = above / name
            if file.is_file():
                yield SourceFile(str(file), file.read_bytes())
    seen: set[Path] = set()
    for crate in outside_crates(folder, sources):
        yield from _crate(crate, seen)


def _crate(folder: Path, seen: set[Path]) -> Iterator[SourceFile]:
    if folder in seen or not folder.is_dir():
        return
    seen.add(folder)
    sources = read_sources(folder)
    yield from (SourceFile(f"{folder}/{file.path}", file.data, file.executable) for file in sources)
    for crate in outside_crates(folder, sources):
        yield from _crate(crate, seen)


def outside_crates(folder: Path, sources: tuple[SourceFile, ...]) -> tuple[Path, ...]:
    """The crates outside the folder that its Cargo.toml names by path."""
    manifest = next((file.data for file in sources if file.path == "Cargo.toml"), b"")
    try:
        document = tomllib.loads(manifest.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return ()  # load_guest or cargo says it better
    root = folder.resolve()
    found = {(root / path).resolve() for path in _paths(document)}
    return tuple(sorted(path for path in found if not path.is_relative_to(root)))


def _paths(document: Mapping[str, Any]) -> Iterator[str]:
    """Every `path` in a table of dependencies, for whatever target."""
    for key, value in document.items():
        if not isinstance(value, dict):
            continue
        if key.endswith("dependencies") or key == "patch":
            yield from _named_paths(value)
        else:
            yield from _paths(value)


def _named_paths(table: Mapping[str, Any]) -> Iterator[str]:
    for value in table.values():
        if isinstance(value, dict):
            path = value.get("path")
            if isinstance(path, str):
                yield path
            else:
                yield from _named_paths(value)
