"""A program with what it needs to start -> an image in one of three shapes, the same bytes each time.

rootfs      a tar with one file, as Docker builds it FROM scratch: runs wherever containers run
wasm-layer  the bare binary as the only layer of an ordinary image, as containerd's runwasi takes it
artifact    the CNCF's Wasm OCI artifact: the bare binary, its config says what it imports and exports
"""

import hashlib
import json
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from wasmdock.errors import ImageError, UsageError
from wasmdock.oci.compression import gzip_bytes
from wasmdock.oci.fields import NOTHING, shown
from wasmdock.oci.image import WASI, Descriptor, Digest, Image, Layer, Platform
from wasmdock.oci.manifest import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, RUN_CONFIG, WASM_CONFIG
from wasmdock.wasm_sniff import Form, form_of

_WASM = "application/wasm"
_RUNWASI_LAYER = "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm"
_RUNWASI_LABEL = "containerd.runwasi.layers"  # without diff_ids, what tells two such images apart


class Shape(Enum):
    """How a Wasm binary sits in an image; the value is what users type."""

    ROOTFS = "rootfs"
    WASM_LAYER = "wasm-layer"
    ARTIFACT = "artifact"


class Program(NamedTuple):
    """All that an image of one program says, whatever its shape.

    file_name is the program's path from the root folder; run is the config's `config` object; created RFC 3339 text;
    more are members of the config that no shape asks for, such as `author`.
    """

    data: bytes
    file_name: str
    platform: Platform
    run: Mapping[str, Any]
    annotations: Mapping[str, str]
    created: str
    more: Mapping[str, Any] = NOTHING


def assemble(program: Program, shape: Shape = Shape.ROOTFS) -> Image:
    """Make the image. Raises UsageError for a native program in a shape for Wasm, GuestError for what is no Wasm.

    Raises ImageError for a path that no tar header holds.
    """
    if shape is Shape.ROOTFS:
        return _rootfs(program)
    if not program.platform.is_wasm:
        hint = "leave --shape out for native programs"
        raise UsageError(f'packing "{program.file_name}" as {shape.value}: it is no Wasm binary', hint)
    return _wasm_layer(program) if shape is Shape.WASM_LAYER else _artifact(program)


def shape_of(image: Image) -> Shape:
    """The shape an image has."""
    if image.config_descriptor.media_type == WASM_CONFIG:
        return Shape.ARTIFACT
    return Shape.WASM_LAYER if any(layer.is_wasm for layer in image.layers) else Shape.ROOTFS


def _rootfs(program: Program) -> Image:
    tar = _tar(program.file_name, program.data)
    layer = Layer.of(OCI_LAYER_GZIP, gzip_bytes(tar))
    platform = WASI if program.platform.is_wasm else program.platform
    config = {
        "created": program.created,
        "architecture": platform.architecture,
        "os": platform.os,
        "config": program.run,
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(tar))]},
        "history": [{"created": program.created, "created_by": f"wasmdock pack /{program.file_name}"}],
        **program.more,
    }
    return _image(config, OCI_CONFIG, layer, program.annotations)


def _wasm_layer(program: Program) -> Image:
    layer = Layer.of(_RUNWASI_LAYER, program.data)
    summed = hashlib.sha256(str(layer.descriptor.digest).encode()).hexdigest()
    labels = {**program.run.get("Labels", {}), _RUNWASI_LABEL: summed}
    config = {
        "created": program.created,
        "architecture": "wasm",
        "os": _system(program.data),
        "config": {**program.run, "Labels": dict(sorted(labels.items()))},
        "rootfs": {"type": "layers", "diff_ids": []},
        **program.more,
    }
    return _image(config, OCI_CONFIG, layer, program.annotations)


def _artifact(program: Program) -> Image:
    """See https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/; the run config goes beside it."""
    layer = Layer.of(_WASM, program.data)
    system = _system(program.data)
    config: dict[str, Any] = {
        "created": program.created,
        "architecture": "wasm",
        "os": system,
        "layerDigests": [str(layer.descriptor.digest)],
        **program.more,
    }
    if system == "wasip2":
        config["component"] = _component(program.data)
    run = json.dumps(program.run, separators=(",", ":"))  # in its order, for the way back
    return _image(config, WASM_CONFIG, layer, {**program.annotations, RUN_CONFIG: run})


def _system(data: bytes) -> str:
    return "wasip2" if form_of(data) is Form.COMPONENT else "wasip1"


def _component(data: bytes) -> dict[str, Any]:
    from wasmdock.wasm import parse

    binary = parse(data)
    exports = [each.name for each in binary.exports]
    return {"exports": exports, "imports": [each.name for each in binary.imports], "target": None}


def _image(config: Mapping[str, Any], media_type: str, layer: Layer, annotations: Mapping[str, str]) -> Image:
    data = _bytes(config)
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor.of(media_type, data).document(),
        "layers": [layer.descriptor.document()],
    }
    if annotations:
        manifest["annotations"] = dict(sorted(annotations.items()))
    return Image(_bytes(manifest), data, (layer,))


def _tar(name: str, data: bytes) -> bytes:
    """One file of root's, mode 0755: crun looks for an executable bit, also on Wasm."""
    import tarfile  # packing is rare, and running need not wait for it

    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o755
    padding = bytes(-len(data) % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)
    try:
        header = member.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")
    except ValueError as error:  # more than 255 bytes, or no slash where the header's two fields meet
        cause = f"a tar header has no room for its {len(name)} characters"
        raise ImageError(f'packing "/{shown(name)}": {cause}', "give the program a shorter path") from error
    return header + data + padding


def _bytes(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def without_shape(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run config without what a shape put into it."""
    labels = {key: value for key, value in (run.get("Labels") or {}).items() if key != _RUNWASI_LABEL}
    kept = {key: value for key, value in run.items() if key != "Labels"}
    return {key: labels if key == "Labels" else kept[key] for key in run if key != "Labels" or labels}
