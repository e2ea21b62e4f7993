"""Two Wasm binaries -> what changed: what they ask for, what they give, what they weigh, what they are made of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wasmdock.capabilities import capabilities
from wasmdock.oci.reference import Digest
from wasmdock.wasm import imports_by_interface
from wasmdock.wasm_types import WasmBinary


@dataclass(frozen=True, slots=True)
class Changes:
    """Names that were added and removed, sorted."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.added or self.removed)


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs from the first to the second; sections: name -> bytes before and after, only where they differ.

    crates is None where those of one are not known; programs are the digests of both.
    """

    capabilities: Changes
    imports: Changes
    exports: Changes
    crates: Changes | None
    sections: Mapping[str, tuple[int, int]]
    size: tuple[int, int]
    programs: tuple[str, str]


def compare(
    before: WasmBinary,
    after: WasmBinary,
    programs: tuple[Digest, Digest],
    crates: tuple[Mapping[str, str] | None, Mapping[str, str] | None] = (None, None),
) -> Difference:
    """Compare two binaries, of these digests, and their crates (name -> versions) where both are known."""
    return Difference(
        capabilities=_changes(map(str, capabilities(before)), map(str, capabilities(after))),
        imports=_changes(_imports(before), _imports(after)),
        exports=_changes(_exports(before), _exports(after)),
        crates=_crates(*crates),
        sections=_sections(before, after),
        size=(before.size, after.size),
        programs=(str(programs[0]), str(programs[1])),
    )


def _crates(before: Mapping[str, str] | None, after: Mapping[str, str] | None) -> Changes | None:
    if before is None or after is None:
        return None
    return _changes(*([f"{name} {version}" for name, version in each.items()] for each in (before, after)))


def _changes(before: Iterable[str], after: Iterable[str]) -> Changes:
    old, new = set(before), set(after)
    return Changes(tuple(sorted(new - old)), tuple(sorted(old - new)))


def _imports(binary: WasmBinary) -> list[str]:
    found = imports_by_interface(binary)
    return [f"{where} {name}".rstrip() for where, names in found.items() for name in names or ("",)]


def _exports(binary: WasmBinary) -> list[str]:
    return [f"{each.name}: {each.type or each.kind}" for each in binary.exports]


def _sections(before: WasmBinary, after: WasmBinary) -> dict[str, tuple[int, int]]:
    old, new = _sizes(before), _sizes(after)
    pairs = {name: (old.get(name, 0), new.get(name, 0)) for name in {**old, **new}}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _sizes(binary: WasmBinary) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in binary.sections:
        name = " ".join(filter(None, (each.inside, each.name, each.custom)))
        found[name] = found.get(name, 0) + each.size
    return found
