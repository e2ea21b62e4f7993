"""Documents about an image, to and from a registry: by the referrers API, or by the tag that stands in for it."""

import io
import json
from collections.abc import Sequence

from wasmdock.errors import ImageError
from wasmdock.oci.fields import DOCUMENT_CAP, parse_object
from wasmdock.oci.image import Descriptor, Digest, Reference
from wasmdock.oci.manifest import MANIFESTS, OCI_INDEX, OCI_MANIFEST
from wasmdock.oci.referrer import Referrer
from wasmdock.oci.registry import Registry, referrers_tag
from wasmdock.oci.registry_blobs import fetch_blob
from wasmdock.oci.registry_transfer import Giving, Silence, during, listed

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
            _list(registry, reference.repository, referrer, doing)
        sent += 1
    return sent


def pull_referrers(registry: Registry, reference: Reference, subject: Digest) -> list[Referrer]:
    """The documents a registry has about an image. Raises RegistryError, ImageError."""
    doing = f'looking for what refers to "{reference}"'
    with during(doing):
        entries = registry.referrers(reference.repository, subject, doing)[:_CAP]
        documents = [entry for entry in entries if entry.media_type in MANIFESTS]
        found = [_fetch(registry, reference.repository, entry, doing) for entry in documents]
    return [each for each in found if each is not None and each.subject == subject]


def copy_referrers(
    source: Registry, origin: Reference, target: Registry, name: Reference, subjects: Sequence[Digest]
) -> int:
    """Copy the documents about manifests that were copied; how many. Raises RegistryError, ImageError."""
    found = [each for subject in subjects for each in pull_referrers(source, origin, subject)]
    return push_referrers(target, name, found)


def _fetch(registry: Registry, repository: str, entry: Descriptor, doing: str) -> Referrer | None:
    """One document, None for an artifact of another make: with no layer, or with several."""
    _, manifest = listed(registry, repository, entry, doing)
    layers = parse_object(manifest, "the manifest").children("layers")
    if len(layers) != 1:
        return None
    layer = Descriptor.parse(layers[0])
    if layer.size > DOCUMENT_CAP:
        raise ImageError(f"a document has {layer.size} bytes, more than the {DOCUMENT_CAP} allowed")
    data = io.BytesIO()
    fetch_blob(registry, repository, layer, data, doing)
    return Referrer(manifest, data.getvalue())


def _list(registry: Registry, repository: str, referrer: Referrer, doing: str) -> None:
    """Where there is no referrers API: add to the tag that lists them (distribution-spec, "Referrers Tag Schema")."""
    there = registry.referrers_by_tag(repository, referrer.subject, doing)
    documents = [*(entry for entry in there if entry.get("digest") != str(referrer.digest)), referrer.document]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": documents}
    data = json.dumps(index, separators=(",", ":")).encode()
    registry.put_manifest(repository, referrers_tag(referrer.subject), OCI_INDEX, data, doing)
