"""OCI manifests and indexes: bytes -> the descriptors they list."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from wasmdock.errors import ImageError
from wasmdock.oci.fields import DOCUMENT_CAP, NOTHING, Fields, parse_object, shown
from wasmdock.oci.reference import WASI, Digest, Platform

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
WASM_CONFIG = "application/vnd.wasm.config.v0+json"

MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEXES = (OCI_INDEX, DOCKER_INDEX)
CONFIGS = (OCI_CONFIG, DOCKER_CONFIG, WASM_CONFIG)
# Layers that are one bare Wasm binary: the CNCF artifact's, containerd's runwasi's and Spin's.
WASM_LAYERS = (
    "application/wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
)
_TAR_LAYERS = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
)
_SUFFIXES = ("", "+gzip", "+zstd", ".gzip", ".zstd")
TAR_LAYERS = tuple(kind + suffix for kind in _TAR_LAYERS for suffix in _SUFFIXES)

LAYERS_CAP = 127  # layers in one image, Docker's own limit
LAYER_CAP = 1 << 30  # bytes of one compressed layer
REF_NAME = "org.opencontainers.image.ref.name"
RUN_CONFIG = "dev.wasmdock.run"  # an artifact's annotation: how to start it, as an image's config has it
CONTAINERD_NAME = "io.containerd.image.name"
_DAMAGED = "the copy is damaged: build, load or pull the image again"
_REFERENCE_TYPE = "vnd.docker.reference.type"


def read_platform(fields: Fields) -> Platform:
    """The platform an object states, with its spelling kept. Raises ImageError for what is no word."""
    parts = [fields.text(key) for key in ("os", "architecture", "variant")]
    for part in parts:
        if not (part.isascii() and part.replace("-", "").replace("_", "").replace(".", "").isalnum() or not part):
            raise ImageError(f'reading {fields.what}: "{shown(part)}" is no part of a platform')
    return Platform(*parts)


class Descriptor(NamedTuple):
    """What a blob must be: its media type, digest and size in bytes, and what is said of it."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = NOTHING
    platform: Platform | None = None

    def __hash__(self) -> int:
        """By the digest: annotations have no hash."""
        return hash(self.digest)

    @classmethod
    def of(cls, media_type: str, data: bytes, **more: Any) -> "Descriptor":
        """The descriptor of these bytes; `annotations` and `platform` as keywords."""
        return cls(media_type, Digest.of(data), len(data), **more)

    @classmethod
    def parse(cls, fields: Fields) -> "Descriptor":
        """Read one descriptor. Raises ImageError."""
        platform = read_platform(fields.child("platform"))
        return cls(
            fields.text("mediaType", required=True),
            Digest.parse(fields.text("digest", required=True)),
            fields.number("size"),
            fields.text_map("annotations"),
            platform if fields.has("platform") else None,
        )

    def document(self) -> dict[str, Any]:
        """The descriptor as JSON has it."""
        found: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.platform:
            names = ("architecture", "os", "variant")
            found["platform"] = {name: value for name in names if (value := getattr(self.platform, name))}
        if self.annotations:
            found["annotations"] = dict(sorted(self.annotations.items()))
        return found

    def check(self, data: bytes) -> bytes:
        """The same bytes, once size and digest are found right. Raises ImageError."""
        if len(data) != self.size:
            cause = f"it has {len(data)} bytes instead of {self.size}"
            raise ImageError(f'reading blob "{self.digest}": {cause}', _DAMAGED)
        found = Digest.of(data)
        if found != self.digest:
            raise ImageError(f'reading blob "{self.digest}": its content has the digest {found}', _DAMAGED)
        return data

    @property
    def is_attestation(self) -> bool:
        """Whether it is provenance that buildx keeps beside the images, not an image."""
        unknown = self.platform is not None and self.platform.os == "unknown"
        return unknown or _REFERENCE_TYPE in self.annotations


class Manifest(NamedTuple):
    """One image's manifest: its config, its layers from the bottom up, and its annotations."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str]

    @classmethod
    def parse(cls, data: bytes, layer_cap: int = LAYER_CAP) -> "Manifest":
        """Read a manifest of an image. Raises ImageError, also for an index and for other artifacts."""
        fields = _document(data, "manifest", MANIFESTS)
        if fields.has("manifests"):
            raise ImageError(f"reading {fields.what}: it is an index of images, not one image's manifest")
        if not fields.has("config"):
            raise fields.wrong("config", "an object", fields.members.get("config"))
        config = Descriptor.parse(fields.child("config"))
        layers = tuple(Descriptor.parse(layer) for layer in fields.children("layers"))
        _check_manifest(fields.what, config, layers, layer_cap)
        media_type = fields.text("mediaType") or OCI_MANIFEST
        return cls(media_type, config, layers, fields.text_map("annotations"))


class Index(NamedTuple):
    """A list of manifests, as one tag for several platforms or as the table of contents of a layout."""

    data: bytes
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str]

    @classmethod
    def parse(cls, data: bytes) -> "Index":
        """Read an index. Raises ImageError."""
        fields = _document(data, "index", INDEXES)
        if fields.has("layers") or fields.has("config"):
            raise ImageError(f"reading {fields.what}: it is an index and a manifest at once")
        if not isinstance(fields.members.get("manifests"), list):
            raise fields.wrong("manifests", "a list of objects", fields.members.get("manifests"))
        manifests = tuple(Descriptor.parse(entry) for entry in fields.children("manifests"))
        return cls(data, manifests, fields.text_map("annotations"))

    @property
    def digest(self) -> Digest:
        """The digest of the index itself."""
        return Digest.of(self.data)

    def choose(self, wanted: Sequence[Platform] = (WASI,)) -> Descriptor:
        """The manifest for the first wanted platform there is. Raises ImageError that lists what is there."""
        return choose(self.manifests, wanted)


def choose(manifests: Sequence[Descriptor], wanted: Sequence[Platform] = (WASI,)) -> Descriptor:
    """The entry for the first wanted platform: an exact match, else one that serves it, else the only one.

    Entries that are attestations are left out. Raises ImageError that lists the platforms there are.
    """
    images = [entry for entry in manifests if not entry.is_attestation]
    for platform in wanted:
        serving = [entry for entry in images if entry.platform and entry.platform.matches(platform)]
        exact = [entry for entry in serving if entry.platform == platform]
        if serving:
            return (exact or serving)[0]
    if len(images) == 1 and not images[0].platform:  # its config will tell
        return images[0]
    there = ", ".join(sorted({shown(entry.platform or "no platform", 40) for entry in images})[:20])
    names = " or ".join(map(str, wanted))
    raise ImageError(
        f'choosing an image for "{names}": the index has {there or "no image"}',
        "build it for one of these: wasmdock build --platform wasi/wasm,linux/amd64" if there else "",
    )


def blobs_named(manifest: bytes) -> list[Descriptor]:
    """The blobs of any manifest, be it an image's or an artifact's."""
    fields = parse_object(manifest, "the manifest")
    named = [fields.child("config")] if fields.has("config") else []
    found = [Descriptor.parse(each) for each in (*named, *fields.children("layers"))]
    for blob in found:
        if blob.size > LAYER_CAP:
            raise ImageError(f'blob "{blob.digest}" has {blob.size} bytes, more than the {LAYER_CAP} allowed')
    return found


def _document(data: bytes, kind: str, media_types: Sequence[str]) -> Fields:
    """The rules that manifests and indexes share."""
    fields = parse_object(data, f'{kind} "{Digest.of(data)}"')
    version = fields.members.get("schemaVersion")
    if version != 2 or isinstance(version, bool):
        hint = "Docker's first format: pull and push it again with a current Docker" if version == 1 else ""
        raise ImageError(f"reading {fields.what}: schemaVersion is {shown(version, 30)} instead of 2", hint)
    media_type = fields.text("mediaType")
    if media_type and media_type not in media_types:
        raise ImageError(f'reading {fields.what}: the media type "{shown(media_type)}" is not one of a {kind}')
    return fields


def _check_manifest(what: str, config: Descriptor, layers: Sequence[Descriptor], layer_cap: int) -> None:
    if config.media_type not in CONFIGS:
        cause = f'"{shown(config.media_type)}" is not an image\'s config'
        raise ImageError(f"reading {what}: {cause}", "it holds some other artifact; name a container image")
    if config.size > DOCUMENT_CAP:
        cause = f"its config has {config.size} bytes, more than the {DOCUMENT_CAP} allowed"
        raise ImageError(f"reading {what}: {cause}")
    if len(layers) > LAYERS_CAP:
        raise ImageError(f"reading {what}: it has {len(layers)} layers, more than the {LAYERS_CAP} allowed")
    for layer in layers:
        if layer.media_type not in TAR_LAYERS and layer.media_type not in WASM_LAYERS:
            cause = f'the media type "{shown(layer.media_type)}" is not one of a layer'
            raise ImageError(f"reading {what}: {cause}")
        if layer.size > layer_cap:
            cause = f"a layer has {layer.size} bytes, more than the {layer_cap} allowed"
            raise ImageError(f"reading {what}: {cause}")
