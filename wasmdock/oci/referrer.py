"""A document about an image, as an OCI artifact that refers to it: never in the index, where it would break loading."""

import json
from collections.abc import Mapping

from wasmdock.errors import ImageError
from wasmdock.oci.fields import DOCUMENT_CAP, NOTHING, parse_object, shown
from wasmdock.oci.fixed import Fixed
from wasmdock.oci.manifest import OCI_MANIFEST, Descriptor
from wasmdock.oci.reference import Digest

SPDX = "application/spdx+json"
IN_TOTO = "application/vnd.in-toto+json"
_EMPTY = "application/vnd.oci.empty.v1+json"
_EMPTY_CONFIG = b"{}"


class Referrer(Fixed):
    """The artifact's manifest and its one document; making one verifies that they belong together.

    Source: image-spec 1.1, manifest.md, "Guidelines for Artifact Usage". Raises ImageError.
    """

    __slots__ = ("artifact_type", "data", "digest", "manifest", "subject")
    manifest: bytes
    data: bytes
    subject: Digest
    artifact_type: str
    digest: Digest

    def __init__(self, manifest: bytes, data: bytes) -> None:
        """Verify and parse once."""
        digest = Digest.of(manifest)
        what = f'artifact "{digest}"'
        fields = parse_object(manifest, what)
        layers = [Descriptor.parse(each) for each in fields.children("layers")]
        if len(layers) != 1 or not fields.has("subject"):
            raise ImageError(f"reading {what}: not one document about one image")
        layers[0].check(data)
        subject = Descriptor.parse(fields.child("subject")).digest
        config = fields.child("config").text("mediaType")
        self._fix(manifest=manifest, data=data, subject=subject, digest=digest)
        self._fix(artifact_type=fields.text("artifactType") or config)

    def _key(self) -> object:
        return self.digest

    @classmethod
    def of(
        cls, subject: Descriptor, artifact_type: str, data: bytes, annotations: Mapping[str, str] = NOTHING
    ) -> "Referrer":
        """The artifact of a document about an image."""
        if len(data) > DOCUMENT_CAP:
            raise ImageError(f"attaching {shown(artifact_type)}: {len(data)} bytes, more than {DOCUMENT_CAP}")
        bare = Descriptor(subject.media_type, subject.digest, subject.size)
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": artifact_type,
            "config": Descriptor.of(_EMPTY, _EMPTY_CONFIG).document(),
            "layers": [Descriptor.of(artifact_type, data).document()],
            "subject": bare.document(),
        }
        if annotations:
            document["annotations"] = dict(sorted(annotations.items()))
        return cls(json.dumps(document, separators=(",", ":")).encode(), data)

    @property
    def blobs(self) -> dict[Digest, bytes]:
        """Every blob the manifest names."""
        return {Digest.of(self.data): self.data, Digest.of(_EMPTY_CONFIG): _EMPTY_CONFIG}

    @property
    def document(self) -> dict[str, object]:
        """What a list of referrers says of it."""
        return {**Descriptor.of(OCI_MANIFEST, self.manifest).document(), "artifactType": self.artifact_type}
