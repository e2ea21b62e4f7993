"""How an image came about: an in-toto statement with SLSA's provenance, signed with a key where one is given.

Sources: in-toto attestation framework v1, SLSA provenance v1.0, DSSE v1.
"""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from wasmdock import __version__
from wasmdock.errors import ImageError
from wasmdock.guest import Artifact
from wasmdock.keys import sign_bytes, verify_bytes
from wasmdock.oci.fields import Fields, parse_object
from wasmdock.oci.image import Digest, Image
from wasmdock.sbom import crates_in

STATEMENT = "https://in-toto.io/Statement/v1"
_STATEMENT_OF_OLD = "https://in-toto.io/Statement/v0.1"  # what cosign writes
SLSA = "https://slsa.dev/provenance/v1"
_SLSA_OF_OLD = "https://slsa.dev/provenance/v0.2"  # what `cosign attest --type slsaprovenance` writes
_BUILD_TYPE = "https://wasmdock.dev/build/v1"
_SIGNATURES_CAP = 100  # in one envelope
_PAYLOAD_TYPE = "application/vnd.in-toto+json"


@dataclass(frozen=True, slots=True)
class Statement:
    """What a provenance document says: the digests it is about, the build's parameters, and who signed it."""

    subjects: tuple[Digest, ...]
    parameters: Mapping[str, Any]
    is_signed: bool


@dataclass(frozen=True, slots=True)
class Attestation:
    """What anybody says of images: their digests, of which kind it is, what it says, and whether it is signed."""

    subjects: tuple[Digest, ...]
    predicate_type: str
    predicate: Fields
    is_signed: bool


def make_statement(
    image: Image,
    artifact: Artifact,
    *,
    road: str,
    source: str,
    lock: str,
    compiler: str = "",
    optimized: str = "",
    unoptimized_size: int = 0,
) -> bytes:
    """The statement about an image built from a guest.

    road is how it was compiled, source the sha256 (hex) of the guest's source files, lock the text of Cargo.lock,
    compiler what compiled it (`rustc 1.85.1`), optimized what made the program smaller afterwards,
    unoptimized_size its bytes before that.
    """
    crates = [crate for crate in crates_in(lock, artifact.name) if crate.purl]
    parameters = {"guest": artifact.name, "target": artifact.target.value, "road": road}
    definition = {
        "buildType": _BUILD_TYPE,
        "externalParameters": {**parameters, "optimized": optimized} if optimized else parameters,
        "internalParameters": {"unoptimizedSize": unoptimized_size} if optimized else {},
        "resolvedDependencies": [
            {"name": "source", "digest": {"sha256": source}},
            *({"uri": crate.purl, "digest": {"sha256": crate.checksum}} for crate in crates if crate.checksum),
        ],
    }
    name, _, version = compiler.partition(" ")
    versions = {"wasmdock": __version__, **({name: version} if compiler else {})}
    builder = {"id": "https://wasmdock.dev/builder", "version": versions}
    document = {
        "_type": STATEMENT,
        "subject": [
            {"name": artifact.name, "digest": {"sha256": image.digest.hex}},
            {"name": "program", "digest": {"sha256": Digest.of(artifact.data).hex}},
        ],
        "predicateType": SLSA,
        "predicate": {"buildDefinition": definition, "runDetails": {"builder": builder}},
    }
    return json.dumps(document, separators=(",", ":")).encode()


def read_statement(data: bytes) -> Statement:
    """Read a statement, bare or in a DSSE envelope whose signature is not checked here. Raises ImageError."""
    found = read_attestation(data)
    if found.predicate_type != SLSA:
        raise ImageError("reading the provenance: not an in-toto statement with SLSA's provenance")
    parameters = found.predicate.child("buildDefinition").child("externalParameters").members
    return Statement(found.subjects, parameters, found.is_signed)


def statements_about(documents: Iterable[bytes], subject: Digest, public_key: bytes = b"") -> list[Statement]:
    """The provenance of an image among documents, in their order; with a key (PEM), only what that key signed.

    Anybody may attach anything to an image: what is about another one, says something else or cannot be read is
    passed over. Raises UsageError for what is no key.
    """
    found = []
    for data in documents:
        with suppress(ImageError):
            statement = read_statement(data)
            if subject in statement.subjects and (not public_key or check_signature(data, public_key)):
                found.append(statement)
    return found


def names(data: bytes, subjects: Iterable[Digest]) -> bool:
    """Whether a document is a statement, signed or not, about one of these; False for what cannot be read."""
    try:
        return not set(subjects).isdisjoint(read_attestation(data).subjects)
    except ImageError:
        return False


def signed_kinds(documents: Iterable[bytes], subjects: Sequence[Digest], public_key: bytes) -> list[str]:
    """The predicate types of what that key (PEM) signed about one of these, each once, in order.

    What cannot be read is passed over. Raises UsageError for what is no key.
    """
    signed = (each for each in documents if names(each, subjects) and check_signature(each, public_key))
    return list(dict.fromkeys(read_attestation(each).predicate_type for each in signed))


def approves(kind: str) -> bool:
    """Whether who signs a statement of that type stands for the image: a verdict or a scan's result may reject it."""
    return kind in (SLSA, _SLSA_OF_OLD)


def read_attestation(data: bytes) -> Attestation:
    """Read an in-toto statement of any kind, bare or in a DSSE envelope, its signature unchecked. Raises ImageError."""
    payload, is_signed = _payload(data)
    fields = parse_object(payload, "the provenance")
    if fields.text("_type") not in (STATEMENT, _STATEMENT_OF_OLD):
        raise ImageError("reading the provenance: not an in-toto statement")
    subjects = [Digest(each.child("digest").text("sha256", required=True)) for each in fields.children("subject")]
    return Attestation(tuple(subjects), fields.text("predicateType"), fields.child("predicate"), is_signed)


def sign(statement: bytes, private_key: bytes) -> bytes:
    """The statement in a DSSE envelope, signed as `keys.sign_bytes` does."""
    texts = [base64.b64encode(each).decode() for each in (statement, sign_bytes(_encoded(statement), private_key))]
    envelope = {"payload": texts[0], "payloadType": _PAYLOAD_TYPE, "signatures": [{"sig": texts[1]}]}
    return json.dumps(envelope, separators=(",", ":")).encode()


def check_signature(data: bytes, public_key: bytes) -> bool:
    """Whether one of a DSSE envelope's signatures is by that key (PEM). Raises UsageError for what is no key."""
    payload, signatures = _envelope(data)
    return any(verify_bytes(_encoded(payload), signature, public_key) for signature in signatures[:_SIGNATURES_CAP])


def _encoded(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed."""
    kind = _PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _payload(data: bytes) -> tuple[bytes, bool]:
    if not parse_object(data, "the provenance").has("payload"):
        return data, False
    payload, signatures = _envelope(data)
    return payload, bool(signatures)


def _envelope(data: bytes) -> tuple[bytes, Sequence[bytes]]:
    fields = parse_object(data, "the provenance")
    if fields.text("payloadType") != _PAYLOAD_TYPE:
        return b"", ()
    try:
        payload = base64.b64decode(fields.text("payload"), validate=True)
        return payload, [base64.b64decode(each.text("sig"), validate=True) for each in fields.children("signatures")]
    except ValueError as error:
        raise ImageError("reading the provenance: its envelope is not base64") from error
