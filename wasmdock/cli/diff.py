"""wasmdock diff: what changed between two images."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict

from wasmdock.cli.context import Context
from wasmdock.cli.documents import documents
from wasmdock.cli.source import Source, find_image, wanted_of
from wasmdock.difference import Changes, Difference, compare
from wasmdock.errors import GuestError
from wasmdock.oci.fields import shown
from wasmdock.oci.image import Digest
from wasmdock.oci.referrer import SPDX
from wasmdock.pack import extract
from wasmdock.sbom import crates_of
from wasmdock.wasm import WasmBinary, parse


def diff(options: argparse.Namespace, context: Context) -> int:
    """Print what was added (+), removed (-) and what weighs another amount."""
    sources = [find_image(name, context, wanted_of(options)) for name in (options.before, options.after)]
    first, second = (extract(source.image) for source in sources)
    before, after = (_binary(*each) for each in zip(sources, (first, second), strict=True))
    crates = [_crates(source, options, context) for source in sources]
    found = compare(before, after, (Digest.of(first), Digest.of(second)), (crates[0], crates[1]))
    if options.format == "json":
        print(json.dumps(asdict(found)))
        return 0
    print("\n".join(_lines(found)) or "no difference")
    unknown = dict.fromkeys(shown(each.reference) for each, known in zip(sources, crates, strict=True) if known is None)
    if unknown:
        print(f"crates: unknown, {' and '.join(unknown)} {'have' if len(unknown) > 1 else 'has'} no SBOM")
    return 0


def _binary(source: Source, data: bytes) -> WasmBinary:
    try:
        return parse(data)
    except GuestError as error:
        raise GuestError(f'comparing "{source.reference}": {error.message}', error.hint) from error


def _crates(source: Source, options: argparse.Namespace, context: Context) -> dict[str, str] | None:
    wanted = wanted_of(options)
    found = [each for each in documents(source, context, wanted) if each.artifact_type == SPDX]
    return crates_of(found[-1].data) if found else None


def _lines(found: Difference) -> Iterator[str]:
    """Of programs that differ in nothing that has a name, at least that they differ."""
    named = {
        "capabilities": found.capabilities,
        "imports": found.imports,
        "exports": found.exports,
        "crates": found.crates,
    }
    for title, changes in named.items():
        if changes:
            yield title
            yield from _signed(changes)
    if found.sections:
        yield f"size  {found.size[0]:,} -> {found.size[1]:,} bytes ({found.size[1] - found.size[0]:+,})"
        for name, (old, new) in sorted(found.sections.items(), key=lambda each: -abs(each[1][1] - each[1][0])):
            yield f"  {new - old:+,}  {shown(name)}"
    elif found.programs[0] != found.programs[1]:
        yield f"other bytes in sections of the same sizes: {found.programs[0]} -> {found.programs[1]}"


def _signed(changes: Changes) -> Iterator[str]:
    yield from (f"  + {shown(name)}" for name in changes.added)
    yield from (f"  - {shown(name)}" for name in changes.removed)
