"""Container images as immutable values: their bytes as they came, verified, and what these say."""

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, BinaryIO

from wasmdock.errors import ImageError
from wasmdock.oci.compression import unpack
from wasmdock.oci.fields import Fields, parse_object
from wasmdock.oci.fixed import Fixed
from wasmdock.oci.manifest import (
    LAYER_CAP,
    RUN_CONFIG,
    TAR_LAYERS,
    WASM_CONFIG,
    WASM_LAYERS,
    Descriptor,
    Index,
    Manifest,
    read_platform,
)
from wasmdock.oci.reference import WASI, Digest, Platform, Reference

__all__ = ["WASI", "Descriptor", "Digest", "Image", "Index", "Layer", "Manifest", "Platform", "Reference"]

EAGER = 8 << 20  # bytes; layers up to this size are read at once, larger ones when they are used
_UNPACKED_CAP = 4 << 30  # bytes of an image's layers that are unpacked to be counted
_PIECE = 1 << 20  # bytes, more than `unpack` gives at a time

Fetch = Callable[[Descriptor], bytes]


class Layer(Fixed):
    """One layer: what it must be, and its bytes or a way to get them; verified either way."""

    __slots__ = ("descriptor", "opener", "source")
    descriptor: Descriptor
    source: bytes | Callable[[], bytes]
    opener: Callable[[], BinaryIO] | None

    def __init__(
        self,
        descriptor: Descriptor,
        source: bytes | Callable[[], bytes],
        opener: Callable[[], BinaryIO] | None = None,
    ) -> None:
        """Verify bytes that are here already. Raises ImageError."""
        if isinstance(source, bytes):
            descriptor.check(source)
        self._fix(descriptor=descriptor, source=source, opener=opener)

    def _key(self) -> object:
        return self.descriptor

    @classmethod
    def of(cls, media_type: str, data: bytes) -> "Layer":
        """The layer that holds these (compressed) bytes."""
        return cls(Descriptor.of(media_type, data), data)

    @property
    def data(self) -> bytes:
        """The layer's bytes as stored, compressed or not. Raises ImageError."""
        if isinstance(self.source, bytes):
            return self.source
        return self.descriptor.check(self.source())

    def open(self) -> BinaryIO:
        """The layer's bytes as a stream, for who checks the digest himself; a large one is not read at once."""
        return self.opener() if self.opener else io.BytesIO(self.data)

    @property
    def is_wasm(self) -> bool:
        """Whether the layer is one bare Wasm binary instead of a tar."""
        return self.descriptor.media_type in WASM_LAYERS

    def unpacked_size(self, cap: int) -> int | None:
        """Bytes once unpacked, None where these are more than `cap`. Raises ImageError."""
        if self.is_wasm:
            return self.descriptor.size
        total = 0
        for piece in unpack(self.data, f'layer "{self.descriptor.digest}"', 2 * cap + _PIECE):
            total += len(piece)
            if total > cap:
                return None
        return total


class Image(Fixed):
    """One image for one platform: manifest and config as the bytes they came in, and its layers.

    Making one verifies that the three belong together and parses both documents. Raises ImageError.
    """

    __slots__ = ("_config", "_manifest", "config", "digest", "layers", "manifest")
    manifest: bytes
    config: bytes
    layers: tuple[Layer, ...]
    digest: Digest
    _manifest: Manifest
    _config: Fields

    def __init__(self, manifest: bytes, config: bytes, layers: tuple[Layer, ...]) -> None:
        """Parse and verify once, so that every Image there is is sound."""
        parsed = Manifest.parse(manifest)
        parsed.config.check(config)
        if parsed.layers != tuple(layer.descriptor for layer in layers):
            what = f'image "{Digest.of(manifest)}"'
            raise ImageError(f"reading {what}: the layers are not those of its manifest")
        self._fix(manifest=manifest, config=config, layers=layers, digest=Digest.of(manifest))
        self._fix(_manifest=parsed, _config=_parse_config(config, parsed))

    def _key(self) -> object:
        return self.digest

    @classmethod
    def parse(
        cls,
        manifest: bytes,
        fetch: Fetch,
        *,
        layer_cap: int = LAYER_CAP,
        eager: int = EAGER,
        opener: Callable[[Descriptor], BinaryIO] | None = None,
    ) -> "Image":
        """Make an image of its manifest; `fetch` gives the bytes of a descriptor, which are verified.

        Layers up to `eager` bytes are fetched and verified now, larger ones each time they are used; `opener`
        gives these as a stream.
        Sizes are checked against the caps before anything is fetched. Raises ImageError.
        """
        parsed = Manifest.parse(manifest, layer_cap)
        config = parsed.config.check(fetch(parsed.config))
        kept: dict[Digest, bytes] = {}  # a manifest may name one layer many times
        layers = tuple(_fetched(layer, fetch, eager, opener, kept) for layer in parsed.layers)
        return cls(manifest, config, layers)

    @property
    def descriptor(self) -> Descriptor:
        """What an index says of this image."""
        return Descriptor.of(self._manifest.media_type, self.manifest, platform=self.platform)

    @property
    def config_descriptor(self) -> Descriptor:
        """What the manifest says of the config."""
        return self._manifest.config

    @property
    def platform(self) -> Platform:
        """What the image is for, by its config."""
        return read_platform(self._config)

    @property
    def entrypoint(self) -> tuple[str, ...]:
        """The program and its fixed arguments; may be empty."""
        return self._run.texts("Entrypoint")

    @property
    def cmd(self) -> tuple[str, ...]:
        """The default arguments (or the program, where there is no entrypoint)."""
        return self._run.texts("Cmd")

    @property
    def env(self) -> Mapping[str, str]:
        """The environment, in order."""
        pairs = (entry.partition("=") for entry in self._run.texts("Env"))
        return MappingProxyType({name: value for name, _, value in pairs})

    @property
    def labels(self) -> Mapping[str, str]:
        """The config's labels."""
        return self._run.text_map("Labels")

    @property
    def annotations(self) -> Mapping[str, str]:
        """The manifest's annotations."""
        return self._manifest.annotations

    @property
    def working_dir(self) -> str:
        """Where the program starts; empty for the root."""
        return self._run.text("WorkingDir")

    @property
    def user(self) -> str:
        """Who the program runs as; empty for root."""
        return self._run.text("User")

    @property
    def stop_signal(self) -> str:
        """The signal that asks the program to stop; empty for Docker's default."""
        return self._run.text("StopSignal")

    @property
    def created(self) -> str:
        """When the image was made, as RFC 3339 text; empty if unknown."""
        return self._config.text("created")

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """The digests of the unpacked tar layers, bottom first; empty for images of bare Wasm layers."""
        return tuple(map(Digest.parse, self._config.child("rootfs").texts("diff_ids")))

    @property
    def packed_size(self) -> int:
        """Bytes to store or to send: layers as they are, config and manifest."""
        layers = sum(layer.descriptor.size for layer in self.layers)
        return layers + len(self.config) + len(self.manifest)

    @property
    def unpacked_size(self) -> int | None:
        """Bytes of the layers' tar streams, None where it would take too long to find out. Raises ImageError.

        Each layer is unpacked once, piece by piece, however often the image has it.
        """
        sizes: dict[Digest, int] = {}
        for layer in self.layers:
            if layer.descriptor.digest not in sizes:
                size = layer.unpacked_size(_UNPACKED_CAP - sum(sizes.values()))
                if size is None:
                    return None
                sizes[layer.descriptor.digest] = size
        return sum(sizes[layer.descriptor.digest] for layer in self.layers)

    @property
    def run_config(self) -> Mapping[str, Any]:
        """How the program is started, as the config's `config` object has it; an artifact keeps it beside."""
        return MappingProxyType(dict(self._run.members))

    @property
    def _run(self) -> Fields:
        return _run_fields(self._config, self._manifest)


def _fetched(
    descriptor: Descriptor,
    fetch: Fetch,
    eager: int,
    opener: Callable[[Descriptor], BinaryIO] | None,
    kept: dict[Digest, bytes],
) -> Layer:
    if descriptor.size <= eager:
        if descriptor.digest not in kept:
            kept[descriptor.digest] = fetch(descriptor)
        return Layer(descriptor, kept[descriptor.digest])
    return Layer(descriptor, lambda: fetch(descriptor), (lambda: opener(descriptor)) if opener else None)


def _parse_config(data: bytes, manifest: Manifest) -> Fields:
    """Check all members that Image's properties read, so that these cannot fail later."""
    fields = parse_object(data, f'config "{manifest.config.digest}"')
    for key in ("os", "architecture"):
        fields.text(key, required=True)
    read_platform(fields)
    fields.text("created")
    run = _run_fields(fields, manifest)
    for key in ("WorkingDir", "User", "StopSignal"):
        run.text(key)
    run.text_map("Labels")
    for key in ("Entrypoint", "Cmd", "Env"):
        run.texts(key)
    _check_layers(fields, manifest)
    return fields


def _run_fields(config: Fields, manifest: Manifest) -> Fields:
    """An artifact's config has no place for it, so wasmdock puts it into an annotation."""
    if manifest.config.media_type != WASM_CONFIG:
        return config.child("config")
    kept = manifest.annotations.get(RUN_CONFIG, "{}")
    return parse_object(kept.encode("utf-8", "surrogatepass"), f'annotation "{RUN_CONFIG}"')


def _check_layers(fields: Fields, manifest: Manifest) -> None:
    """Tar layers and diff_ids pair up (image-spec config.md); bare Wasm layers have none."""
    diff_ids = [Digest.parse(text) for text in fields.child("rootfs").texts("diff_ids")]
    tars = [layer for layer in manifest.layers if layer.media_type in TAR_LAYERS]
    if tars and len(tars) != len(manifest.layers):
        raise ImageError(f"reading {fields.what}: the image mixes tar layers and bare Wasm layers")
    if len(diff_ids) != len(tars) and len(tars) == len(manifest.layers):
        raise ImageError(f"reading {fields.what}: it has {len(diff_ids)} diff_ids for {len(tars)} layers")
