"""Several images under one name, one for each platform: an index as its bytes, with its images."""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from wasmdock.errors import ImageError
from wasmdock.oci.fields import parse_object
from wasmdock.oci.fixed import Fixed
from wasmdock.oci.image import Descriptor, Digest, Image, Layer, Platform
from wasmdock.oci.manifest import OCI_INDEX, OCI_MANIFEST, Index, blobs_named


class Attestation(NamedTuple):
    """What buildx keeps beside the images of an index: a manifest and its blobs, carried along and not looked into."""

    manifest: bytes
    blobs: tuple[Layer, ...]

    @property
    def descriptor(self) -> Descriptor:
        """What must agree with the index."""
        declared = parse_object(self.manifest, "an attestation").text("mediaType")
        return Descriptor.of(declared or OCI_MANIFEST, self.manifest)


class ImageIndex(Fixed):
    """An index and the images it lists; making one verifies that they belong together. Raises ImageError."""

    __slots__ = ("attestations", "data", "digest", "images")
    data: bytes
    images: tuple[Image, ...]
    attestations: tuple[Attestation, ...]
    digest: Digest

    def __init__(self, data: bytes, images: tuple[Image, ...], attestations: tuple[Attestation, ...] = ()) -> None:
        """Verify that the index lists just these images, and attestations."""
        index = Index.parse(data)
        if not images:
            raise ImageError(f'reading index "{index.digest}": it lists no image')
        listed = [(entry.digest, entry.size) for entry in sorted(index.manifests, key=_is_attestation)]
        here = [(image.digest, len(image.manifest)) for image in images]
        here += [(each.descriptor.digest, len(each.manifest)) for each in attestations]
        if listed != here:
            raise ImageError(f'reading index "{index.digest}": it does not list just the images that are here')
        for each in attestations:
            if [blob.descriptor for blob in each.blobs] != blobs_named(each.manifest):
                raise ImageError(f'reading "{each.descriptor.digest}": the blobs are not those of its manifest')
        self._fix(data=data, images=images, attestations=attestations, digest=index.digest)

    def _key(self) -> object:
        return self.digest

    @classmethod
    def of(cls, images: Sequence[Image]) -> "ImageIndex":
        """The index of these images, in this order. Raises ImageError where two are for one platform."""
        platforms = [image.platform for image in images]
        if len(set(platforms)) != len(platforms):
            names = ", ".join(map(str, platforms))
            raise ImageError(f"making an index: two images for one platform ({names})")
        manifests = [image.descriptor.document() for image in images]
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
        return cls(json.dumps(document, separators=(",", ":")).encode(), tuple(images))

    @property
    def descriptor(self) -> Descriptor:
        """What a layout's table of contents says of it."""
        declared = parse_object(self.data, "the index").text("mediaType")
        return Descriptor.of(declared or OCI_INDEX, self.data)

    @property
    def manifests(self) -> Iterator[tuple[Descriptor, bytes]]:
        """What it lists: images and attestations."""
        yield from ((image.descriptor, image.manifest) for image in self.images)
        yield from ((each.descriptor, each.manifest) for each in self.attestations)

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """What there is an image for."""
        return tuple(image.platform for image in self.images)

    @property
    def packed_size(self) -> int:
        """Bytes to store or to send, blobs that images share counted once."""
        sizes = {self.digest: len(self.data)}
        for image in self.images:
            sizes |= {layer.descriptor.digest: layer.descriptor.size for layer in image.layers}
            sizes |= {image.digest: len(image.manifest), image.config_descriptor.digest: len(image.config)}
        for each in self.attestations:
            sizes |= {each.descriptor.digest: len(each.manifest)}
            sizes |= {blob.descriptor.digest: blob.descriptor.size for blob in each.blobs}
        return sum(sizes.values())


def images_of(content: Image | ImageIndex) -> tuple[Image, ...]:
    """The images of an index, or the one image."""
    return content.images if isinstance(content, ImageIndex) else (content,)


def _is_attestation(entry: Descriptor) -> bool:
    return entry.is_attestation
