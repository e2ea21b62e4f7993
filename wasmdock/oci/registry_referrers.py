"""Documents about an image, to and from a registry: by the referrers API, or by the tag that stands in for it."""

import io
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from wasmdock.errors import ImageError, RegistryError
from wasmdock.oci.fields import DOCUMENT_CAP, parse_object
from wasmdock.oci.image import Descriptor, Digest, Reference
from wasmdock.oci.manifest import MANIFESTS, OCI_INDEX, OCI_MANIFEST
from wasmdock.oci.referrer import Referrer
from wasmdock.oci.registry import Registry, referrers_tag
from wasmdock.oci.registry_answers import may_pass
from wasmdock.oci.registry_blobs import fetch_blob
from wasmdock.oci.registry_copy import Copying, listed
from wasmdock.oci.registry_giving import Giving, Silence

_CAP = 100  # documents about one image


def push_referrers(registry: Registry, reference: Reference, referrers: Sequence[Referrer]) -> int:
    """Give a registry documents about an image it has; how many it lacked. Raises RegistryError, ImageError."""
    doing, sent = f'attaching to "{reference}"', 0
    give = Giving(registry, reference.repository, doing, lambda _: (), Silence())
    for referrer in referrers:
        there = registry.referrers(reference.repository, referrer.subject, doing)
        if referrer.digest in {entry.digest for entry in there}:
            continue
        for digest, data in referrer.blobs.items():
            give(Descriptor("", digest, len(data)), lambda data=data: io.BytesIO(data))  # type: ignore[misc]  # mypy cannot type defaults of a lambda
        answer = registry.put_manifest(
            reference.repository, str(referrer.digest), OCI_MANIFEST, referrer.manifest, doing
        )
        if not answer.headers.get("OCI-Subject"):
            _list(registry, reference.repository, referrer.subject, referrer.document, doing)
        sent += 1
    return sent


def pull_referrers(registry: Registry, reference: Reference, subject: Digest) -> list[Referrer]:
    """The documents a registry has about an image. Raises RegistryError, ImageError.

    What cannot be read, and artifacts that are no one document, are passed over and told.
    """
    doing, repository = f'looking for what refers to "{reference}"', reference.repository
    found = []
    for entry, manifest in _about(registry, repository, subject, doing):
        if entry.media_type in MANIFESTS:
            with _passing_over(registry, entry, doing):
                found.append(_fetch(registry, repository, manifest, doing))
    return found


def copy_referrers(
    source: Registry, origin: Reference, target: Registry, name: Reference, subjects: Sequence[Digest]
) -> int:
    """Copy what refers to manifests that were copied, and what refers to that; how much the target lacked.

    Artifacts of any make, with all their blobs. Raises RegistryError, ImageError.
    """
    doing, sent, seen = f'copying what refers to "{origin}"', 0, set(subjects)
    copying = Copying(source, origin.repository, target, name.repository, doing, Silence())
    waiting = deque(subjects)
    while waiting and len(seen) - len(subjects) < _CAP * len(subjects):
        subject = waiting.popleft()
        about = [each for each in _about(source, origin.repository, subject, doing) if each[0].digest not in seen]
        there = {each.digest for each in target.referrers(name.repository, subject, doing)} if about else set()
        for entry, manifest in about:
            seen.add(entry.digest)
            waiting.append(entry.digest)
            if entry.digest not in there:
                with _passing_over(source, entry, doing):
                    answer, _ = copying.copy(entry, manifest, str(entry.digest))
                    if not answer.headers.get("OCI-Subject"):
                        _list(target, name.repository, subject, _document(entry, manifest), doing)
                    sent += 1
    return sent


def _about(registry: Registry, repository: str, subject: Digest, doing: str) -> Iterator[tuple[Descriptor, bytes]]:
    """What a registry lists as referring to a manifest, and does refer to it."""
    entries = registry.referrers(repository, subject, doing)
    if len(entries) > _CAP:
        registry.tell(f"{doing}: of {len(entries)} documents about one image {_CAP} are looked at")
    for entry in entries[:_CAP]:
        with _passing_over(registry, entry, doing):
            found, manifest = listed(registry, repository, entry, doing)
            named = parse_object(manifest, "the manifest").child("subject")
            if named.has("digest") and named.text("digest") == str(subject):
                yield found, manifest


@contextmanager
def _passing_over(registry: Registry, entry: Descriptor, doing: str) -> Iterator[None]:
    """One document that is at fault does not hide the others; a registry that does not answer ends it all."""
    try:
        yield
    except ImageError as error:
        if isinstance(error, RegistryError) and (may_pass(error) or error.status in (401, 403)):
            raise
        told = error.message.removeprefix(f"{doing}: ")
        registry.tell(f'{doing}: "sha256:{entry.digest.short}..." is passed over: {told}')


def _fetch(registry: Registry, repository: str, manifest: bytes, doing: str) -> Referrer:
    layers = parse_object(manifest, "the manifest").children("layers")
    if len(layers) != 1:
        raise ImageError(f"an artifact of {len(layers)} files where one document is kept")
    layer = Descriptor.parse(layers[0])
    if layer.size > DOCUMENT_CAP:
        raise ImageError(f"a document has {layer.size} bytes, more than the {DOCUMENT_CAP} allowed")
    data = io.BytesIO()
    fetch_blob(registry, repository, layer, data, doing, is_document=True)
    return Referrer(manifest, data.getvalue())


def _document(entry: Descriptor, manifest: bytes) -> dict[str, object]:
    """What a list of referrers says of an artifact (image-spec 1.1, "Guidelines for Artifact Usage")."""
    fields = parse_object(manifest, "the manifest")
    kind = fields.text("artifactType") or fields.child("config").text("mediaType")
    notes = fields.text_map("annotations")
    document = Descriptor(entry.media_type, entry.digest, entry.size, notes).document()
    return {**document, "artifactType": kind} if kind else document


def _list(registry: Registry, repository: str, subject: Digest, document: Mapping[str, object], doing: str) -> None:
    """Where there is no referrers API: add to the tag that lists them (distribution-spec, "Referrers Tag Schema")."""
    there = registry.referrers_by_tag(repository, subject, doing)
    documents = [*(entry for entry in there if entry.get("digest") != document["digest"]), document]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": documents}
    data = json.dumps(index, separators=(",", ":")).encode()
    registry.put_manifest(repository, referrers_tag(subject), OCI_INDEX, data, doing)
