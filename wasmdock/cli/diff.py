"""wasmdock diff: what changed between two images."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict

from wasmdock.cli.context import Context
from wasmdock.cli.documents import documents
from wasmdock.cli.source import Source, find_image, wanted_of
from wasmdock.difference import Changes, Difference, compare
from wasmdock.oci.fields import shown
from wasmdock.oci.referrer import SPDX
from wasmdock.pack import extract
from wasmdock.sbom import crates_of
from wasmdock.wasm import parse


def diff(options: argparse.Namespace, context: Context) -> int:
    """Print what was added (+), removed (-) and what weighs another amount."""
    sources = [find_image(name, context, wanted_of(options)) for name in (options.before, options.after)]
    before, after = (parse(extract(source.image)) for source in sources)
    crates = [_crates(source, options, context) for source in sources]
    known = (crates[0] or {}, crates[1] or {}) if None not in crates else ({}, {})
    found = compare(before, after, known)
    if options.format == "json":
        print(json.dumps(asdict(found)))
    else:
        print("\n".join(_lines(found)) or "no difference")
    return 0


def _crates(source: Source, options: argparse.Namespace, context: Context) -> dict[str, str] | None:
    wanted = wanted_of(options)
    found = [each for each in documents(source, context, wanted) if each.artifact_type == SPDX]
    return crates_of(found[-1].data) if found else None


def _lines(found: Difference) -> Iterator[str]:
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


def _signed(changes: Changes) -> Iterator[str]:
    yield from (f"  + {shown(name)}" for name in changes.added)
    yield from (f"  - {shown(name)}" for name in changes.removed)
