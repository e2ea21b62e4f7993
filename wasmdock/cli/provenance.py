"""wasmdock sbom and verify: what an image is made of, and whether what is said of it is true."""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wasmdock.cli.context import Context
from wasmdock.cli.documents import attested, documents, registry_of, standing_for
from wasmdock.cli.key_file import read_public_key
from wasmdock.cli.source import Source, Wanted, find_image, wanted_of
from wasmdock.cosign import is_signed
from wasmdock.errors import ImageError, WasmdockError
from wasmdock.guest import load_guest, parse_target
from wasmdock.oci.fields import shown
from wasmdock.oci.image import Digest
from wasmdock.oci.layer import list_files
from wasmdock.oci.layout import verify as verify_layers
from wasmdock.oci.referrer import IN_TOTO, SPDX
from wasmdock.pack import extract
from wasmdock.provenance import SLSA, approves, read_attestation, signed_kinds, statements_about
from wasmdock.sbom import crates_of
from wasmdock.wasm import parse

_SPDX_PREDICATE = "https://spdx.dev/Document"


def sbom(options: argparse.Namespace, context: Context) -> int:
    """Print the SBOM: a line for each package, or the SPDX document itself."""
    wanted = wanted_of(options)
    source = find_image(options.image, context, wanted)
    found = [each.data for each in documents(source, context, wanted) if each.artifact_type == SPDX]
    found = found or _attested_sboms(source, context, wanted)
    if not found:
        hint = "wasmdock build makes one from Cargo.lock and attaches it; push and pull keep it beside the image"
        raise ImageError(f'reading the SBOM of "{source.reference}": there is none', hint)
    crates = {shown(name): shown(versions) for name, versions in crates_of(found[-1]).items()}
    if options.format == "json":
        print(json.dumps(json.loads(found[-1]), indent=1))  # in ASCII: it may be a stranger's
        return 0
    width = max(map(len, crates), default=0)
    for name, versions in crates.items():
        print(f"{name:<{width}}  {versions.replace('NOASSERTION', '(no version)')}")
    return 0


def _attested_sboms(source: Source, context: Context, wanted: Wanted) -> list[bytes]:
    """SPDX documents that were attested with cosign."""
    found = map(read_attestation, attested(source, context, wanted))
    return [json.dumps(each.predicate.members).encode() for each in found if each.predicate_type == _SPDX_PREDICATE]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: whether it holds (None: there was nothing to look at), and what was found."""

    what: str
    holds: bool | None
    found: str


def verify(options: argparse.Namespace, context: Context) -> int:
    """Check everything that can be checked; exit code 1 where something does not hold, 2 for a wrong file."""
    key = read_public_key(options.key) if options.key else b""
    if options.rebuild:
        load_guest(options.rebuild)
    wanted = wanted_of(options)
    source = find_image(options.image, context, wanted)
    about = [each.data for each in documents(source, context, wanted) if each.artifact_type == IN_TOTO]
    checks = [
        _tried("digests", lambda: _digests(source)),
        _tried("provenance", lambda: _provenance(source, about, key)),
    ]
    if key:
        others: list[str] = []
        checks.append(_tried("signature", lambda: _signature(source, about, key, context, wanted, others)))
        checks += [
            Check("statement", None, f"signed statement of type {shown(each)}: read it yourself") for each in others
        ]
    if options.rebuild:
        checks.append(_tried("rebuild", lambda: _rebuild(source, about, key, options.rebuild, context)))
    if options.format == "json":
        print(json.dumps([{"check": each.what, "holds": each.holds, "found": each.found} for each in checks]))
    else:
        words = {True: "ok", False: "FAILED", None: "-"}
        for each in checks:
            print(f"{words[each.holds]:<6}  {each.what:<10}  {each.found}")
    return 1 if any(each.holds is False for each in checks) else 0


def _tried(what: str, look: Callable[[], tuple[bool | None, str]]) -> Check:
    try:
        return Check(what, *look())
    except WasmdockError as error:
        return Check(what, False, error.message)


def _digests(source: Source) -> tuple[bool, str]:
    """Every blob, every unpacked layer, and that the program is what the platform says."""
    image = verify_layers(source.image)
    if any(layer.is_wasm for layer in image.layers) is False:
        list_files(image)  # unpacks each layer and compares its diff_id
    program = extract(image)
    if image.platform.is_wasm:
        parse(program)
    return True, f"{image.digest}, {len(image.layers) + 2} blobs, program {Digest.of(program)}"


def _provenance(source: Source, about: Sequence[bytes], key: bytes) -> tuple[bool | None, str]:
    """With a key, only what it signed counts; without, any that is there: who attached it, nobody knows."""
    found = statements_about(about, source.image.digest, key)
    if not found:
        return (None, "none about this image by the key given") if key and about else _without(about)
    program = Digest.of(extract(source.image))
    fitting = [each for each in found if program in each.subjects]
    if not fitting:
        return False, "it is about another program"
    words = ", ".join(shown(f"{name} {value}", 60) for name, value in list(fitting[-1].parameters.items())[:8])
    signed = "signed, not checked (--key)" if fitting[-1].is_signed else "not signed"
    return True, f"{words}, {'signed by the key given' if key else signed}"


def _without(about: Sequence[bytes]) -> tuple[bool | None, str]:
    """What to say of documents none of which is the image's provenance. Raises ImageError for what is no statement."""
    kinds = {read_attestation(each).predicate_type for each in about}
    return (False, "it is about another image") if SLSA in kinds else (None, "none is attached")


def _signature(
    source: Source, about: Sequence[bytes], key: bytes, context: Context, wanted: Wanted, others: list[str]
) -> tuple[bool, str]:
    """The provenance's own signature, or cosign's, which only a registry keeps.

    others: takes the types of what the key signed besides. That may say anything, and approves nothing.
    """

    def is_approved(documents: Sequence[bytes], subjects: Sequence[Digest]) -> bool:
        kinds = signed_kinds(documents, subjects, key)
        others.extend(each for each in kinds if not approves(each) and each not in others)
        return any(map(approves, kinds))

    if is_approved(about, [source.image.digest]):
        return True, "the provenance, by the key given"
    asked = registry_of(source, context, wanted)
    if asked:
        subjects, is_attested = standing_for(source, *asked), False
        signed = [each for each in subjects if is_signed(*asked, each, key)]
        with suppress(*((ImageError,) if signed else ())):  # what else is attached takes no signature away
            is_attested = is_approved(attested(source, context, wanted), subjects)
        if signed:
            what = "the image" if source.image.digest in signed else "the index of the image"
            return True, f"{what}, as cosign signs, by the key given"
        if is_attested:
            return True, "the provenance, as cosign attests, by the key given"
    return False, "none by the key given"


def _rebuild(source: Source, about: Sequence[bytes], key: bytes, folder: Path, context: Context) -> tuple[bool, str]:
    """Build in an empty cache, so that nothing built before is taken for the answer."""
    from wasmdock.cli.toolchain import build_anew

    signed, unchecked = (statements_about(about, source.image.digest, each) for each in (key, b""))
    parameters = (signed or unchecked)[-1].parameters if unchecked else {}  # only how to build: bytes are compared
    named = parameters.get("target")
    target = parse_target(str(named))[0] if named else None
    with tempfile.TemporaryDirectory(prefix="wasmdock-") as cache:
        data = build_anew(folder, target, Path(cache), context, bool(parameters.get("optimized")))
    program = extract(source.image)
    if data == program:
        return True, f"the same {len(data)} bytes"
    return False, f"{Digest.of(data)} ({len(data)} bytes) instead of {Digest.of(program)} ({len(program)} bytes)"
