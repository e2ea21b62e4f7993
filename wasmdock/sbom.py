"""What a guest is made of: Cargo.lock and the binary's own notes -> an SPDX document, the same bytes each time."""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wasmdock import __version__
from wasmdock.errors import GuestError, ImageError
from wasmdock.guest import Artifact
from wasmdock.oci.fields import parse_object
from wasmdock.wasm import parse

_CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"
_NOT_AN_ID = re.compile(r"[^A-Za-z0-9.-]+")
_ROOT = "SPDXRef-guest"
_COMPILER = "compiled the guest"
_OF_A_PART = "named in the program's producers sections: it made a part of it, which may be an adapter"


@dataclass(frozen=True, slots=True)
class Crate:
    """One package of a Cargo.lock; checksum is the sha256 of its archive, empty for local ones."""

    name: str
    version: str
    source: str = ""
    checksum: str = ""
    dependencies: tuple[str, ...] = ()

    @property
    def purl(self) -> str:
        """Its package URL; empty for a crate that no registry has."""
        return f"pkg:cargo/{self.name}@{self.version}" if self.source == _CRATES_IO else ""


def parse_lock(text: str, what: str = "Cargo.lock") -> tuple[Crate, ...]:
    """Read a Cargo.lock of any version. Raises GuestError."""
    try:
        packages = tomllib.loads(text).get("package", [])
        return tuple(_crate(package) for package in packages)
    except (tomllib.TOMLDecodeError, AttributeError, TypeError, KeyError) as error:
        raise GuestError(f'reading "{what}": not a Cargo.lock ({error})', "cargo generate-lockfile") from error


def crates_in(lock: str, guest: str) -> tuple[Crate, ...]:
    """The crates of a guest: all of its Cargo.lock, or its part of one that a workspace shares. Raises GuestError."""
    crates = parse_lock(lock)
    by_name = _by_name(crates)
    wanted = {crate for crate in by_name.get(guest, ()) if not crate.source}
    pending = list(wanted)
    while pending:
        meant = (_meant(text, by_name) for text in pending.pop().dependencies)
        below = {crate for crate in meant if crate} - wanted
        wanted |= below
        pending += below
    others = {crate for crate in crates if not crate.source} - wanted
    return tuple(crate for crate in crates if crate in wanted) if wanted and others else crates


def _by_name(crates: Iterable[Crate]) -> dict[str, list[Crate]]:
    found: dict[str, list[Crate]] = {}
    for crate in crates:
        found.setdefault(crate.name, []).append(crate)
    return found


def _meant(dependency: str, by_name: Mapping[str, Sequence[Crate]]) -> Crate | None:
    """The crate that `name`, with `version` and `(source)` where the lock has several, stands for."""
    name, _, rest = dependency.partition(" ")
    version, _, source = rest.partition(" ")
    origin = source.strip("()")  # without the commit, which a git crate's own source ends with
    there = [each for each in by_name.get(name, ()) if version in ("", each.version)]
    found = [each for each in there if origin in ("", each.source, each.source.partition("#")[0])]
    return min(found, key=lambda each: each.source != "", default=None)  # only a local crate needs no source


def _crate(package: Mapping[str, Any]) -> Crate:
    source, checksum = str(package.get("source", "")), str(package.get("checksum", ""))
    dependencies = tuple(map(str, package.get("dependencies", [])))
    return Crate(str(package["name"]), str(package["version"]), source, checksum, dependencies)


def make_sbom(artifact: Artifact, lock: str, created: str, compiler: str = "", said: Iterable[str] = ()) -> bytes:
    """The SPDX 2.3 document (JSON) of an artifact: the guest, its crates and what compiled them.

    created is RFC 3339 text, compiler the one that compiled the guest (`rustc 1.85.1`). said adds to what the producers
    sections of the binary name, which may be what made something linked into it: an adapter. Raises GuestError.
    """
    crates = crates_in(lock, artifact.name)
    ids = _ids(crates)
    others = {each for each in (*said, *producers_of(artifact)) if not _is(each, compiler)}
    tools = [_tool(compiler, _COMPILER)] if compiler else []
    tools += [_tool(each, _OF_A_PART) for each in sorted(others)]
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{artifact.name} {artifact.version}".strip(),
        "documentNamespace": f"https://wasmdock.dev/spdx/{artifact.name}/{_sha256(artifact.data)}",
        "creationInfo": {"created": created, "creators": [f"Tool: wasmdock-{__version__}"]},
        "packages": [
            _guest(artifact),
            *(_package(each, name, artifact.name) for each, name in ids.items()),
            *tools,
        ],
        "relationships": _relationships(artifact, ids, tools),
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def crates_of(sbom: bytes) -> dict[str, str]:
    """Package name -> versions, of what an SPDX document lists beside the guest itself. Raises ImageError.

    A tool that made only a part of the program, as far as is known, has `(of a part)` after its version.
    """
    fields = parse_object(sbom, "the SBOM")
    if not fields.text("spdxVersion").startswith("SPDX-2"):
        raise ImageError("reading the SBOM: not an SPDX 2 document in JSON")
    found: dict[str, list[str]] = {}
    for each in fields.children("packages"):
        if each.text("SPDXID") != _ROOT:
            of_a_part = " (of a part)" if each.text("comment") == _OF_A_PART else ""
            version = f"{each.text('versionInfo')}{of_a_part}"
            found.setdefault(each.text("name", required=True), []).append(version)
    return {name: ", ".join(sorted(versions)) for name, versions in sorted(found.items())}


def _guest(artifact: Artifact) -> dict[str, Any]:
    return {
        "SPDXID": _ROOT,
        "name": artifact.name,
        "versionInfo": artifact.version or "NOASSERTION",
        "packageFileName": f"{artifact.name}.wasm" if artifact.target.is_wasm else artifact.name,
        "primaryPackagePurpose": "APPLICATION",
        "downloadLocation": "NOASSERTION",
        "licenseDeclared": artifact.license or "NOASSERTION",
        "checksums": [{"algorithm": "SHA256", "checksumValue": _sha256(artifact.data)}],
        "comment": f"compiled for {artifact.target.triple or 'this machine'}",
    }


def _ids(crates: Sequence[Crate]) -> dict[Crate, str]:
    """Each crate's identifier within the document; one that another has taken gets a part that tells the two apart."""
    found: dict[Crate, str] = {}
    taken = set[str]()
    for crate in sorted(crates, key=lambda each: not each.purl):  # a registry's crates keep the plain ones
        plain = f"SPDXRef-crate-{_NOT_AN_ID.sub('-', f'{crate.name}-{crate.version}')}"
        whole = f"{crate.name} {crate.version} {crate.source}".encode()
        found[crate] = f"{plain}-{_sha256(whole)[:12]}" if plain in taken else plain
        taken.add(found[crate])
    return {crate: found[crate] for crate in crates}


def _package(crate: Crate, identifier: str, guest: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "SPDXID": identifier,
        "name": crate.name,
        "versionInfo": crate.version,
        "primaryPackagePurpose": "LIBRARY",
        "downloadLocation": _location(crate),
    }
    if crate.checksum:
        found["checksums"] = [{"algorithm": "SHA256", "checksumValue": crate.checksum}]
    if crate.purl:
        reference = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": crate.purl}
        found["externalRefs"] = [reference]
    if not crate.source:
        found["comment"] = "the guest's own source" if crate.name == guest else "a crate beside the guest"
    return found


def _location(crate: Crate) -> str:
    if crate.source == _CRATES_IO:
        return f"https://static.crates.io/crates/{crate.name}/{crate.name}-{crate.version}.crate"
    return crate.source.removeprefix("registry+") if crate.source.startswith("git+") else "NOASSERTION"


def _is(tool: str, compiler: str) -> bool:
    """Whether a producers section's `rustc 1.85.1 (4eb161250 2025-03-15)` is the compiler `rustc 1.85.1`."""
    return bool(compiler) and tool.split()[:2] == compiler.split()


def _tool(text: str, comment: str) -> dict[str, Any]:
    name, _, version = text.partition(" ")
    return {
        "SPDXID": f"SPDXRef-tool-{_NOT_AN_ID.sub('-', text)}",
        "name": name,
        "versionInfo": version or "NOASSERTION",
        "downloadLocation": "NOASSERTION",
        "comment": comment,
    }


def _relationships(
    artifact: Artifact, ids: Mapping[Crate, str], tools: Sequence[Mapping[str, Any]]
) -> list[dict[str, str]]:
    by_name = _by_name(ids)
    own = [crate for crate in by_name.get(artifact.name, []) if not crate.source]
    found = [_related("SPDXRef-DOCUMENT", "DESCRIBES", _ROOT)]
    found += [_related(_ROOT, "GENERATED_FROM", ids[crate]) for crate in own]
    found += [_related(tool["SPDXID"], "BUILD_TOOL_OF", _ROOT) for tool in tools if tool["comment"] == _COMPILER]
    found += [_related(tool["SPDXID"], "OTHER", _ROOT) for tool in tools if tool["comment"] == _OF_A_PART]
    for crate, identifier in ids.items():
        for text in crate.dependencies:
            meant = _meant(text, by_name)
            found += [_related(identifier, "DEPENDS_ON", ids[meant])] if meant else []
    return found


def _related(element: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": element, "relationshipType": kind, "relatedSpdxElement": other}


def producers_of(artifact: Artifact) -> list[str]:
    """What a binary itself says it was made with: `rustc 1.85.1 (...)`."""
    if not artifact.target.is_wasm:
        return []
    producers = parse(artifact.data).producers
    return [f"{name} {version}".strip() for values in producers.values() for name, version in values]


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()
