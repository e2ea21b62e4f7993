"""Makers of small images, sound and hostile, for the tests of the OCI modules."""

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wasmdock.guest import Artifact, Target
from wasmdock.oci.image import Descriptor, Digest, Image, Layer
from wasmdock.oci.manifest import OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_MANIFEST
from wasmdock.pack import pack

WASM = b"\0asm\1\0\0\0"
HELLO = Artifact("hello", Target.WASIP1, WASM, "1.2.3", "Says hello", "MIT")


def hello(**options: Any) -> Image:
    """The image of the smallest Wasm module."""
    return pack(HELLO, **options)


def tar_of(files: Mapping[str, bytes | tarfile.TarInfo]) -> bytes:
    """A tar with these members; a TarInfo stands for itself."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    """A link, a device, a pipe, a directory."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


def plain_layer(tar: bytes) -> tuple[Layer, Digest]:
    """A layer that is not compressed, and its diff_id."""
    return Layer.of(OCI_LAYER, tar), Digest.of(tar)


def gzip_layer(tar: bytes) -> tuple[Layer, Digest]:
    """A gzipped layer and its diff_id."""
    return Layer.of(OCI_LAYER_GZIP, gzip.compress(tar, mtime=0)), Digest.of(tar)


def image_of(*layers: tuple[Layer, Digest], run: Mapping[str, Any] | None = None, **config: Any) -> Image:
    """An image of these layers, lowest first."""
    document = {
        "os": "wasi",
        "architecture": "wasm",
        "config": {"Entrypoint": ["/app.wasm"], **(run or {})},
        "rootfs": {"type": "layers", "diff_ids": [str(diff_id) for _, diff_id in layers]},
        **config,
    }
    data = json.dumps(document).encode()
    return Image(manifest_of(data, [layer for layer, _ in layers]), data, tuple(layer for layer, _ in layers))


def manifest_of(config: bytes, layers: Sequence[Layer], **more: Any) -> bytes:
    """A manifest's bytes."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor.of(OCI_CONFIG, config).document(),
        "layers": [layer.descriptor.document() for layer in layers],
        **more,
    }
    return json.dumps(document).encode()


def image_with(*tars: bytes, **config: Any) -> Image:
    """An image of plain layers with these tars, lowest first."""
    return image_of(*map(plain_layer, tars), **config)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content: to show that nothing was written."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
