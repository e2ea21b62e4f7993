"""Signatures of images as cosign keeps them in a registry: made and checked with a key, offline.

Source: github.com/sigstore/cosign, specs/SIGNATURE_SPEC.md: the tag `sha256-<hex>.sig` holds an image whose layers are
"simple signing" payloads, the signature of each in its annotation; `sha256-<hex>.att` holds one of
attestations, each an in-toto statement in a DSSE envelope.
"""

import base64
import io
import json
from collections.abc import Callable, Sequence

from wasmdock.errors import ImageError, RegistryError
from wasmdock.keys import public_key_of, sign_bytes, verify_bytes
from wasmdock.oci.fields import Fields, parse_object
from wasmdock.oci.image import Descriptor, Digest, Reference
from wasmdock.oci.manifest import OCI_CONFIG, OCI_MANIFEST
from wasmdock.oci.registry import Registry
from wasmdock.oci.registry_answers import may_pass
from wasmdock.oci.registry_blobs import fetch_blob, send_blob
from wasmdock.oci.registry_copy import Copying
from wasmdock.oci.registry_giving import Silence, in_parallel
from wasmdock.oci.registry_transfer import during

_PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
_SIGNATURE = "dev.cosignproject.cosign/signature"
_TYPE = "cosign container image signature"
_PAYLOAD_CAP = 64 << 10  # bytes
_FETCHED_CAP = 100  # payloads, or envelopes, of one image
_ENVELOPE = "application/vnd.dsse.envelope.v1+json"
_ENVELOPE_CAP = 4 << 20  # bytes
_KINDS = ("sig", "att", "sbom")

_Manifest = tuple[Descriptor, bytes]


def push_signature(registry: Registry, reference: Reference, digest: Digest, private_key: bytes) -> None:
    """Sign an image that a registry has, before the signatures there are. Raises UsageError, RegistryError.

    One by the same key of the same payload is replaced: signing again must not push others out of sight.
    """
    doing = f'signing "{reference}"'
    payload = _payload(reference, digest)
    signature = base64.b64encode(sign_bytes(payload, private_key)).decode()
    layer = Descriptor.of(_PAYLOAD, payload, annotations={_SIGNATURE: signature})
    public_key, there = public_key_of(private_key), _layers(registry, reference, digest, doing)
    others = [each for each in there if each.digest != layer.digest or not _holds(each, payload, public_key)]
    layers = [each.document() for each in (layer, *others)]
    config = _config([str(each["digest"]) for each in layers])
    for data in (payload, config):
        send_blob(registry, reference.repository, Descriptor.of("", data), lambda data=data: io.BytesIO(data), doing)  # type: ignore[misc]  # mypy cannot type defaults of a lambda
    described = Descriptor.of(OCI_CONFIG, config).document()
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described, "layers": layers}
    data = json.dumps(document, separators=(",", ":")).encode()
    registry.put_manifest(reference.repository, _tag(digest), OCI_MANIFEST, data, doing)


def is_signed(registry: Registry, reference: Reference, digest: Digest, public_key: bytes) -> bool:
    """Whether a registry has a signature of the image by that key. Raises UsageError, RegistryError, ImageError.

    Payloads are fetched once each and only so many; how many signatures one may have, the manifest's size bounds.
    """
    doing, payloads = f'looking for signatures of "{reference}"', dict[Digest, bytes]()
    for layer in _layers(registry, reference, digest, doing):
        if layer.media_type != _PAYLOAD or layer.size > _PAYLOAD_CAP:
            continue
        if layer.digest not in payloads:
            if len(payloads) == _FETCHED_CAP:
                continue
            data = io.BytesIO()
            fetch_blob(registry, reference.repository, layer, data, doing, is_document=True)
            payloads[layer.digest] = data.getvalue()
        payload = payloads[layer.digest]
        if _names(payload, digest) and _holds(layer, payload, public_key):
            return True
    return False


def attestations(registry: Registry, reference: Reference, digest: Digest) -> list[bytes]:
    """The envelopes of what is attested of an image, unchecked. Raises RegistryError, ImageError."""
    doing, found = f'looking for attestations of "{reference}"', []
    for layer in _layers(registry, reference, digest, doing, "att")[:_FETCHED_CAP]:
        if layer.media_type == _ENVELOPE and layer.size <= _ENVELOPE_CAP:
            data = io.BytesIO()
            fetch_blob(registry, reference.repository, layer, data, doing, is_document=True)
            found.append(data.getvalue())
    return found


def copy_attached(
    source: Registry, origin: Reference, target: Registry, name: Reference, digests: Sequence[Digest]
) -> int:
    """Copy cosign's signatures, attestations and SBOMs of manifests that were copied; how many tags.

    Each is asked for by its name: some registries list no tags. Raises RegistryError, ImageError for the first that
    was not copied, after the others were.
    """
    if (source.name, origin.repository) == (target.name, name.repository):
        return 0
    doing, found, failures = f'copying the signatures of "{origin}"', dict[str, _Manifest](), list[ImageError]()

    def attempt(work: Callable[[str], None], tag: str) -> None:
        try:
            with during(doing):
                work(tag)
        except ImageError as error:
            failures.append(error)
            if isinstance(error, RegistryError) and may_pass(error):  # it was tried again; the next will fare no better
                raise

    def look(tag: str) -> None:
        if there := _find(source, origin.repository, tag, f'{doing}: looking for "{tag}"'):
            found[tag] = there

    def carry(tag: str) -> None:
        what = f'{doing}: "{tag}"'
        Copying(source, origin.repository, target, name.repository, what, Silence()).copy(*found[tag], tag)

    tags = [_tag(digest, kind) for digest in digests for kind in _KINDS]
    in_parallel([lambda tag=tag: attempt(look, tag) for tag in tags])  # type: ignore[misc]  # mypy cannot type defaults of a lambda
    for tag in filter(found.__contains__, tags):
        attempt(carry, tag)
    if failures:
        raise failures[0]
    return len(found)


def _layers(
    registry: Registry, reference: Reference, digest: Digest, doing: str, kind: str = "sig"
) -> list[Descriptor]:
    """The signatures a registry has of an image; none where it knows no such tag."""
    found = _find(registry, reference.repository, _tag(digest, kind), doing)
    layers = parse_object(found[1], "the signatures").children("layers") if found else ()
    return [Descriptor.parse(each) for each in layers]


def _find(registry: Registry, repository: str, tag: str, doing: str) -> _Manifest | None:
    """What a tag means, None where the registry knows no such tag."""
    try:
        return registry.manifest(repository, tag, doing)
    except RegistryError as error:
        if error.status == 404:
            return None
        raise


def _tag(digest: Digest, kind: str = "sig") -> str:
    return f"sha256-{digest.hex}.{kind}"


def _payload(reference: Reference, digest: Digest) -> bytes:
    critical = {
        "identity": {"docker-reference": reference.name},
        "image": {"docker-manifest-digest": str(digest)},
        "type": _TYPE,
    }
    return json.dumps({"critical": critical, "optional": None}, separators=(",", ":")).encode()


def _config(digests: list[str]) -> bytes:
    rootfs = {"type": "layers", "diff_ids": digests}
    return json.dumps({"architecture": "", "os": "", "config": {}, "rootfs": rootfs}, separators=(",", ":")).encode()


def _names(payload: bytes, digest: Digest) -> bool:
    try:
        critical: Fields = parse_object(payload, "the signature", _PAYLOAD_CAP).child("critical")
        named = critical.child("image").text("docker-manifest-digest")
        return critical.text("type") == _TYPE and named == str(digest)
    except ImageError:
        return False


def _holds(layer: Descriptor, payload: bytes, public_key: bytes) -> bool:
    try:
        signature = base64.b64decode(layer.annotations.get(_SIGNATURE, ""), validate=True)
    except ValueError:  # no base64, or not even ASCII
        return False
    return verify_bytes(payload, signature, public_key)
