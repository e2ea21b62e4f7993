"""Layout folders nobody should trust: each spoils a sound one, with a piece of the error it must give."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.images import WASM, gzip_layer, hello, image_of, manifest_of, tar_of
from wasmdock.oci.image import Descriptor, Digest, Image
from wasmdock.oci.layout import write_layout
from wasmdock.oci.manifest import OCI_INDEX, OCI_MANIFEST

Spoil = Callable[[Path], None]


def _blob(folder: Path, digest: Digest) -> Path:
    return folder / "blobs" / "sha256" / digest.hex


def _layer(folder: Path) -> Path:
    return _blob(folder, hello().layers[0].descriptor.digest)


def _manifest(folder: Path) -> Path:
    return _blob(folder, hello().digest)


def _edit_index(**changes: Any) -> Spoil:
    """Change members of index.json."""

    def spoil(folder: Path) -> None:
        path = folder / "index.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return spoil


def _edit_entry(**changes: Any) -> Spoil:
    """Change members of the one descriptor in index.json."""

    def spoil(folder: Path) -> None:
        entry = json.loads((folder / "index.json").read_text())["manifests"][0]
        _edit_index(manifests=[{**entry, **changes}])(folder)

    return spoil


def _lead_to(data: bytes, media_type: str = OCI_MANIFEST, **more: Any) -> Spoil:
    """Let index.json lead to a blob of these bytes, its digest and size right."""

    def spoil(folder: Path) -> None:
        descriptor = Descriptor.of(media_type, data)
        _blob(folder, descriptor.digest).write_bytes(data)
        _edit_index(manifests=[{**descriptor.document(), **more}])(folder)

    return spoil


def _nested(depth: int) -> Spoil:
    def spoil(folder: Path) -> None:
        entry = json.loads((folder / "index.json").read_text())["manifests"][0]
        for _ in range(depth):
            data = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
            descriptor = Descriptor.of(OCI_INDEX, data, platform=hello().platform)
            _blob(folder, descriptor.digest).write_bytes(data)
            entry = descriptor.document()
        _edit_index(manifests=[entry])(folder)

    return spoil


def _write(name: str, data: bytes) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return spoil


def _replace(find: Callable[[Path], Path], make: Callable[[Path], object]) -> Spoil:
    """Put something else where a file was."""

    def spoil(folder: Path) -> None:
        path = find(folder)
        path.unlink()
        make(path)

    return spoil


def _link_out(path: Path) -> None:
    outside = path.parents[-1] / "etc" / "hostname"
    path.symlink_to(outside)


def _link_folder(folder: Path) -> None:
    blobs = folder / "blobs"
    blobs.rename(folder.parent / "elsewhere")
    blobs.symlink_to(folder.parent / "elsewhere")


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2 << 30)  # sparse: two GB that take no room


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _cut_manifest(folder: Path) -> None:
    _manifest(folder).write_bytes(b"{}")


def _index_path(folder: Path) -> Path:
    return folder / "index.json"


def _other_platform(architecture: str) -> bytes:
    return image_of(gzip_layer(tar_of({"app.wasm": WASM})), os="linux", architecture=architecture).manifest


def _index_of(*platforms: str) -> bytes:
    entry = hello().descriptor.document()
    entries = [
        {**entry, "platform": dict(zip(("os", "architecture"), text.split("/"), strict=True))} for text in platforms
    ]
    return json.dumps({"schemaVersion": 2, "manifests": entries}).encode()


_MANY = [{**hello().descriptor.document(), "annotations": {"org.opencontainers.image.ref.name": n}} for n in "ab"]
_MANY[1] = {**_MANY[1], "digest": str(Digest.of(b"another"))}

HOSTILE: dict[str, tuple[Spoil, str]] = {
    "no index": (lambda folder: _index_path(folder).unlink(), "it is not there"),
    "no oci-layout": (lambda folder: (folder / "oci-layout").unlink(), "it is not there"),
    "another version": (_write("oci-layout", b'{"imageLayoutVersion":"2.0.0"}'), 'version is "2.0.0"'),
    "no version": (_write("oci-layout", b"{}"), 'version is ""'),
    "empty index": (_write("index.json", b""), "not the JSON expected here"),
    "index not JSON": (_write("index.json", b"<html>"), "not the JSON expected here"),
    "index a list": (_write("index.json", b"[]"), "a JSON object was expected, not a list"),
    "index too deep": (_write("index.json", b"[" * 200_000), "nested too deep"),
    "index of two GB": (lambda folder: _huge(_index_path(folder)), "2147483648 bytes, more than the 4194304"),
    "index without manifests": (_edit_index(manifests=None), '"manifests" is missing'),
    "index without entries": (_edit_index(manifests=[]), "it has no image"),
    "index and manifest at once": (_edit_index(layers=[]), "an index and a manifest at once"),
    "index a pipe": (_replace(_index_path, os.mkfifo), "it is not an ordinary file"),
    "index a link": (_replace(_index_path, _link_out), "a symbolic link is on the way"),
    "index a folder": (_replace(_index_path, Path.mkdir), "it is not an ordinary file"),
    "entry of unknown type": (
        _edit_entry(mediaType="text/html"),
        'the media type "text/html" is not an image',
    ),
    "entry too large": (_edit_entry(size=1 << 40), "more than the 4194304 allowed"),
    "entry with a wrong size": (_edit_entry(size=5), "instead of 5"),
    "entry that leads out": (_edit_entry(digest="sha256:../../../etc/passwd"), "not a sha256 digest"),
    "entry of sha512": (_edit_entry(digest="sha512:" + "0" * 128), "not a sha256 digest"),
    "entry that leads nowhere": (_edit_entry(digest=str(Digest.of(b"nothing"))), "it is not there"),
    "entry for another platform": (
        _edit_entry(platform={"os": "linux", "architecture": "arm"}),
        "the index says linux/arm, the image wasi/wasm",
    ),
    "manifest changed": (lambda folder: _flip(_manifest(folder)), "its content has the digest"),
    "manifest cut short": (_cut_manifest, "it has 2 bytes instead"),
    "manifest an artifact's": (
        _lead_to(manifest_of(b"{}", []).replace(b"image.config", b"empty")),
        "is not an image's config",
    ),
    "manifest of another type": (_lead_to(_index_of("wasi/wasm")), "it is an index of images"),
    "manifest of mixed types": (_lead_to(hello().manifest, OCI_INDEX), "it says it is"),
    "manifest not JSON": (_lead_to(b"not JSON"), "not the JSON expected here"),
    "manifest's blobs missing": (_lead_to(_other_platform("wasm")), "it is not there"),
    "layer changed": (lambda folder: _flip(_layer(folder)), "its content has the digest"),
    "layer longer": (lambda folder: _huge(_layer(folder)), "it has 2147483648 bytes instead of"),
    "layer missing": (lambda folder: _layer(folder).unlink(), "it is not there"),
    "layer a link out": (_replace(_layer, _link_out), "a symbolic link is on the way"),
    "layer a link to a device": (
        _replace(_layer, lambda path: path.symlink_to("/dev/zero")),
        "a symbolic link is on the way",
    ),
    "layer a pipe": (_replace(_layer, os.mkfifo), "it is not an ordinary file"),
    "layer a folder": (_replace(_layer, Path.mkdir), "it is not an ordinary file"),
    "blobs a link out": (_link_folder, "a symbolic link is on the way"),
    "several images": (_edit_index(manifests=_MANY), "it has several images: a, b"),
    "index without a match": (
        _lead_to(_index_of("linux/s390x", "windows/amd64"), OCI_INDEX),
        "the index has linux/s390x, windows/amd64",
    ),
    "index within index": (_nested(4), "more than 4 indexes within each other"),
}


def sound_layout(folder: Path) -> Image:
    """Write the layout that is spoilt afterwards."""
    image = hello()
    write_layout(image, folder)
    return image
