"""The folders of dockerfiles/ as values: a guest's source, its targets, and the artifact that comes out."""

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from wasmdock.errors import GuestError, UsageError

_CURE = "name a folder that holds a Rust crate, such as dockerfiles/hello-world"
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")


class Target(Enum):
    """What a guest is compiled for; the value is the short name users type."""

    WASIP1 = "wasip1"
    WASIP2 = "wasip2"
    UNKNOWN = "unknown"
    NATIVE = "native"

    @property
    def triple(self) -> str:
        """The Rust target triple; empty for the host's own."""
        triples = {"wasip1": "wasm32-wasip1", "wasip2": "wasm32-wasip2", "unknown": "wasm32-unknown-unknown"}
        return triples.get(self.value, "")

    @property
    def shown(self) -> str:
        """Its name in a sentence, where `unknown` would be read as such."""
        return self.triple if self is Target.UNKNOWN else self.value

    @property
    def is_wasm(self) -> bool:
        """Whether the artifact is a Wasm binary."""
        return self is not Target.NATIVE


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest's folder: its name everywhere, where its source is, and what its Cargo.toml says of it."""

    name: str
    folder: Path
    version: str
    description: str
    license: str
    is_library: bool
    default_target: Target

    @property
    def place(self) -> str:
        """What tells its folder from every other in names of ours (16 hex digits): two guests may have one name."""
        return hashlib.sha256(os.fsencode(self.folder.resolve())).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled guest: `data` are the bytes of the Wasm binary or, for Target.NATIVE, of the ELF file.

    name is the guest's; version, description and license come from Cargo.toml and may be empty.
    """

    name: str
    target: Target
    data: bytes
    version: str = ""
    description: str = ""
    license: str = ""


def parse_target(text: str) -> tuple[Target, str]:
    """Turn what a user typed (`wasip1`, `wasm32-wasip1`) into a target and a note, may be empty. Raises UsageError."""
    if text in ("wasi", "wasm32-wasi"):
        return Target.WASIP1, "wasm32-wasi was renamed: building for wasm32-wasip1"
    for target in Target:
        if text in (target.value, target.triple or target.value):
            return target, ""
    known = ", ".join(target.value for target in Target)
    raise UsageError(f'reading target "{text}": no such target', f"use one of {known}")


def load_guest(folder: Path) -> Guest:
    """Read a guest's folder. Raises GuestError where it has no usable Cargo.toml."""
    manifest = folder / "Cargo.toml"
    try:
        text = manifest.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if not folder.exists():
            raise UsageError(f'reading guest "{folder}": there is no such folder', _CURE) from error
        if not folder.is_dir():
            raise UsageError(f'reading guest "{folder}": that is no folder', _CURE) from error
        cause = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise GuestError(f'reading guest "{folder}": no readable Cargo.toml ({cause})', _CURE) from error
    return parse_guest(text, folder)


def parse_guest(text: str, folder: Path) -> Guest:
    """Turn the text of a Cargo.toml into a Guest. Raises GuestError with the line where it is not TOML."""
    try:
        manifest = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise GuestError(f'reading "{folder / "Cargo.toml"}": {error}') from error
    except RecursionError as error:
        raise GuestError(f'reading "{folder / "Cargo.toml"}": it is nested too deeply') from error
    package = manifest.get("package")
    if not isinstance(package, dict) or not isinstance(package.get("name"), str):
        raise _nameless(manifest, folder)
    name = package["name"]
    if not _NAME.fullmatch(name):
        raise GuestError(
            f'reading "{folder / "Cargo.toml"}": the name "{name}" cannot name an image',
            "use lower-case letters, digits and single . _ - between them",
        )
    is_library = _is_library(manifest)
    return Guest(
        name=name,
        folder=folder,
        version=_text(package, "version"),
        description=_text(package, "description"),
        license=_text(package, "license"),
        is_library=is_library,
        default_target=_default_target(package, is_library),
    )


def _nameless(manifest: Mapping[str, Any], folder: Path) -> GuestError:
    workspace = manifest.get("workspace")
    if not isinstance(workspace, dict):
        return GuestError(f'reading "{folder / "Cargo.toml"}": no [package] with a name')
    members = workspace.get("members")
    listed = ", ".join(str(folder / str(each)) for each in members) if isinstance(members, list) else ""
    return GuestError(
        f'reading "{folder / "Cargo.toml"}": a workspace, not a crate',
        f"name one of its members{': ' if listed else ''}{listed}",
    )


def _text(package: Mapping[str, Any], key: str) -> str:
    value = package.get(key, "")
    return value if isinstance(value, str) else ""


def _is_library(manifest: Mapping[str, Any]) -> bool:
    library = manifest.get("lib")
    kinds = library.get("crate-type") if isinstance(library, dict) else None
    return isinstance(kinds, list) and "cdylib" in kinds


def _default_target(package: Mapping[str, Any], is_library: bool) -> Target:
    """The target named in [package.metadata.wasmdock], else the one the crate's kind suggests."""
    metadata = package.get("metadata", {})
    table = metadata.get("wasmdock", {}) if isinstance(metadata, dict) else {}
    wanted = table.get("target", "") if isinstance(table, dict) else ""
    if wanted:
        return parse_target(str(wanted))[0]
    return Target.UNKNOWN if is_library else Target.WASIP1
