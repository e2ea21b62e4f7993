"""Several images under one name, one for each platform: an index as its bytes, with its images."""

import json
from collections.abc import Sequence

from wasmdock.errors import ImageError
from wasmdock.oci.fixed import Fixed
from wasmdock.oci.image import Descriptor, Digest, Image, Platform
from wasmdock.oci.manifest import OCI_INDEX, Index


class ImageIndex(Fixed):
    """An index and the images it lists; making one verifies that they belong together. Raises ImageError."""

    __slots__ = ("data", "digest", "images")
    data: bytes
    images: tuple[Image, ...]
    digest: Digest

    def __init__(self, data: bytes, images: tuple[Image, ...]) -> None:
        """Verify that the index lists just these images."""
        index = Index.parse(data)
        listed = [(entry.digest, entry.size) for entry in index.manifests]
        if listed != [(image.digest, len(image.manifest)) for image in images]:
            raise ImageError(f'reading index "{index.digest}": it does not list just the images that are here')
        self._fix(data=data, images=images, digest=index.digest)

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
        return Descriptor.of(OCI_INDEX, self.data)

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
        return sum(sizes.values())
