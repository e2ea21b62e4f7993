"""All that cargo reads for a guest on this machine, inside its folder and outside, summed up in one digest."""

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from wasmdock.errors import GuestError
from wasmdock.guest_files import SourceFile, read_sources

_CONFIGS = ("config.toml", "config")
# What cargo and rustup read from the folders above a crate.
_ABOVE = ("Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "rust-toolchain", *(f".cargo/{name}" for name in _CONFIGS))


def digest_sources(folder: Path, sources: tuple[SourceFile, ...], environment: Mapping[str, str] | None = None) -> str:
    """One hex digest of all that cargo reads for a guest on this machine. Raises GuestError."""
    return sum_up(find_inputs(folder, sources, environment or {}))


def find_inputs(folder: Path, sources: tuple[SourceFile, ...], environment: Mapping[str, str]) -> dict[str, str]:
    """The hex digest of each file that cargo reads, by its path.

    Those are the guest's folder, the crates outside it that are named by path, there or in its workspace, cargo's
    files in the folders above each of them, and in CARGO_HOME. Raises GuestError.
    """
    files = {file.path: _fingerprint(file) for file in sources}
    crates, seen = [(folder.resolve(), sources)], set[Path]()
    while crates:
        place, held = crates.pop()
        seen.add(place)
        files.update(_above(place))
        for crate in outside_crates(place, held):
            if crate not in seen and crate.is_dir():
                inner = read_sources(crate)
                files.update((f"{crate}/{file.path}", _fingerprint(file)) for file in inner)
                crates.append((crate, inner))
    files.update(_read(_cargo_home(environment) / name for name in _CONFIGS))
    return files


def sum_up(files: Mapping[str, str]) -> str:
    """One digest of all."""
    return hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()


def is_unchanged(before: Mapping[str, str], after: Mapping[str, str]) -> bool:
    """Whether a build read what was there before it. A Cargo.lock that cargo has just written is no change."""
    written = {path for path in after if path not in before and path.rpartition("/")[2] == "Cargo.lock"}
    return before == {path: digest for path, digest in after.items() if path not in written}


def outside_crates(folder: Path, sources: tuple[SourceFile, ...]) -> tuple[Path, ...]:
    """The crates outside the folder that its Cargo.toml names by path, or takes over from its workspace."""
    root = folder.resolve()
    manifest = _parse(next((file.data for file in sources if file.path == "Cargo.toml"), b""))
    try:
        named = [(root, path) for path in _paths(manifest)]
        named += _of_workspace(root, manifest)
    except RecursionError as error:
        raise GuestError(f'reading "{folder / "Cargo.toml"}": it is nested too deeply') from error
    found = {crate for place, path in named if (crate := _resolved(place / path))}
    return tuple(sorted(path for path in found if not path.is_relative_to(root)))


def find_lock(folder: Path) -> Path:
    """Where cargo keeps a guest's Cargo.lock: beside its manifest, or at the root of the workspace it belongs to."""
    root = folder.resolve()
    try:
        manifest = _parse((root / "Cargo.toml").read_bytes())
    except OSError:
        return folder / "Cargo.lock"
    place, document = _workspace(root, manifest)
    excluded = _table(document, "workspace").get("exclude")
    outside = any(
        root.is_relative_to(_resolved(place / each) or place)
        for each in (excluded if isinstance(excluded, list) else ())
        if isinstance(each, str) and each
    )
    is_member = "workspace" not in manifest and not outside
    return place / "Cargo.lock" if is_member else folder / "Cargo.lock"


def find_compiler(folder: Path, environment: Mapping[str, str]) -> str:
    """The program that cargo takes for rustc in a folder: a path, or a name to look for on PATH.

    By RUSTC, then by cargo's own settings, the nearest first: `build.rustc`.
    """
    named = environment.get("RUSTC") or environment.get("CARGO_BUILD_RUSTC")
    if named:
        return named
    here = folder.resolve()
    for place in (*(each / ".cargo" for each in (here, *here.parents)), _cargo_home(environment)):
        for name in reversed(_CONFIGS):  # cargo prefers the old name where both are there
            with suppress(OSError):
                said = _table(_parse((place / name).read_bytes()), "build").get("rustc")
                if isinstance(said, str) and said:
                    return str(place.parent / said) if "/" in said else said
    return "rustc"


def _above(folder: Path) -> Iterator[tuple[str, str]]:
    return _read(place / name for place in folder.parents for name in _ABOVE)


def _read(files: Iterator[Path]) -> Iterator[tuple[str, str]]:
    for file in files:
        try:
            if file.is_file():
                yield str(file), _fingerprint(SourceFile(str(file), file.read_bytes()))
        except OSError as error:
            raise GuestError(f'reading "{file}", which cargo reads, too: {error.strerror}') from error


def _fingerprint(file: SourceFile) -> str:
    return hashlib.sha256((b"x" if file.executable else b"-") + file.data).hexdigest()


def _cargo_home(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("CARGO_HOME") or Path(environment.get("HOME") or "/", ".cargo"))


def _of_workspace(root: Path, manifest: Mapping[str, Any]) -> list[tuple[Path, str]]:
    """What the workspace says of the dependencies that the manifest takes over from it, and what it patches."""
    place, document = _workspace(root, manifest)
    shared = _table(_table(document, "workspace"), "dependencies")
    named = [_table(shared, name).get("path") for name in _inherited(manifest)]
    named += _paths({key: _table(document, key) for key in ("patch", "replace")})
    return [(place, path) for path in named if isinstance(path, str)]


def _workspace(root: Path, manifest: Mapping[str, Any]) -> tuple[Path, Mapping[str, Any]]:
    """The root of the workspace that a crate belongs to, and its manifest; an empty one where there is none."""
    named = _table(manifest, "package").get("workspace")
    for place in (root / named,) if isinstance(named, str) else root.parents:
        try:
            document = _parse((place / "Cargo.toml").read_bytes())
        except (OSError, ValueError):
            continue
        if "workspace" in document:
            return place, document
    return root, {}


def _resolved(path: Path) -> Path | None:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # it leads to itself, or is no path: cargo says it better
        return None


def _parse(data: bytes) -> Mapping[str, Any]:
    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        return {}  # load_guest or cargo says it better


def _table(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}


def _paths(document: Mapping[str, Any]) -> Iterator[str]:
    """Every `path` in a table of dependencies, for whatever target."""
    for table in _dependencies(document):
        yield from _named_paths(table)


def _inherited(document: Mapping[str, Any]) -> set[str]:
    """The dependencies that are `workspace = true`."""
    tables = _dependencies(document)
    return {name for table in tables for name in table if _table(table, name).get("workspace") is True}


def _dependencies(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for key, value in document.items():
        if isinstance(value, dict):
            if key.endswith("dependencies") or key in ("patch", "replace"):
                yield value
            else:
                yield from _dependencies(value)


def _named_paths(table: Mapping[str, Any]) -> Iterator[str]:
    for value in table.values():
        if isinstance(value, dict):
            path = value.get("path")
            if isinstance(path, str):
                yield path
            else:
                yield from _named_paths(value)
