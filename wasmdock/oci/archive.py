"""Images in one tar file, as `docker save` and `docker load` and the OCI tools exchange them."""

import hashlib
import io
import json
import posixpath
import tarfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from wasmdock.aside import beside, is_device
from wasmdock.errors import ImageError, UnavailableError, cure_of
from wasmdock.oci.compression import GZIP, ZSTD, unpack
from wasmdock.oci.fields import DOCUMENT_CAP, Fields, parse_json, parse_object, shown
from wasmdock.oci.image import Descriptor, Digest, Image, Index, Layer, Platform, Reference
from wasmdock.oci.image_index import ImageIndex, images_of
from wasmdock.oci.layout import (
    LAYOUT_FILE,
    Whole,
    blobs_of,
    check_layout_version,
    counted,
    index_document,
    index_entry,
    load_image,
    load_whole,
    name_of,
    verify,
)
from wasmdock.oci.manifest import (
    LAYER_CAP,
    LAYERS_CAP,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    REF_NAME,
)
from wasmdock.oci.tar import FileSource, Member, members

_PACKED_CAP = 1 << 30  # bytes of a compressed archive
_SPOOL_CAP = 4 << 30  # bytes of a piped archive, or of a gzipped one once unpacked
_SPOOL_MEMORY = 64 << 20  # bytes of these kept in memory
_MEMBERS_CAP = 100_000
_DOCUMENTS_CAP = 64 << 20  # bytes of the manifests and configs of all images together
_LAYERS_SUM = 16 << 30  # bytes of the layers of `docker save` together
_PIECE = 1 << 20
_LINKS = 8
_CURE = "write it anew, with docker save or wasmdock save"

Named = tuple[Reference | None, Image]


def write_archive(image: Image | ImageIndex, target: Path | BinaryIO, name: Reference | None = None) -> None:
    """Write one image, or a whole index, as a tar that `docker load` and OCI tools take; same image, same bytes.

    A path is written aside and renamed. Raises UnavailableError where the machine refuses.
    """
    try:
        if isinstance(target, Path):
            _write_path(image, target, name)
        else:
            _write_stream(image, target, name)
    except BrokenPipeError:
        raise
    except OSError as error:
        shown_target = target if isinstance(target, Path) else "the output"
        raise UnavailableError(
            f'writing archive "{shown_target}": {error.strerror or error}', cure_of(error)
        ) from error


def read_archive(source: Path | BinaryIO, platforms: Sequence[Platform] | None = None) -> list[Named]:
    """Read and verify the images of an OCI archive or of either kind of `docker save`, plain or gzipped.

    A stream that can seek must stay open while the images' layers are used; pipes and gzipped archives are
    kept in an unnamed temporary file. Of an index the image for the first of `platforms` is
    taken (default: Wasm, then this machine's). Raises ImageError.
    """
    with _opened(source) as archive:
        return archive.images(platforms)


def read_archive_whole(source: Path | BinaryIO) -> list[tuple[Reference | None, Whole]]:
    """Read and verify as `read_archive` does, and keep an index with all of its images. Raises ImageError."""
    with _opened(source) as archive:
        return archive.whole()


@contextmanager
def _opened(source: Path | BinaryIO) -> Iterator["_Archive"]:
    what = f'archive "{source if isinstance(source, Path) else getattr(source, "name", "stream")}"'
    try:
        file = source.open("rb") if isinstance(source, Path) else source
        yield _Archive(file, what, owned=isinstance(source, Path))
    except OSError as error:
        raise ImageError(f"reading {what}: {error.strerror or error}") from error


def _write_path(image: Image | ImageIndex, path: Path, name: Reference | None) -> None:
    if is_device(path):  # renaming would put a file in its place
        with path.open("wb") as device:
            _write_stream(image, device, name)
        return
    aside = beside(path)
    try:  # from here on: a signal may come as soon as the file is there
        with aside.open("xb") as file:
            _write_stream(image, file, name)
        aside.chmod(0o644)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _write_stream(image: Image | ImageIndex, stream: BinaryIO, name: Reference | None) -> None:
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, "oci-layout", LAYOUT_FILE)
        _add(tar, "index.json", index_document([index_entry(image, name)]))
        _add(tar, "manifest.json", _docker_manifest(image, name))
        for digest, data in blobs_of(image):
            _add(tar, _blob_path(digest), data)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _blob_path(digest: Digest) -> str:
    return f"blobs/sha256/{digest.hex}"


def _docker_manifest(content: Image | ImageIndex, name: Reference | None) -> bytes:
    """The manifest.json that `docker load` reads where the engine has no containerd image store.

    Of an index it is the native image: such an engine runs no Wasm.
    """
    images = images_of(content)
    image = min(images, key=lambda each: each.platform.is_wasm)
    document = {
        "Config": _blob_path(image.config_descriptor.digest),
        "RepoTags": [f"{name.familiar_name}:{name.tag}"] if name and name.tag else None,
        "Layers": [_blob_path(layer.descriptor.digest) for layer in image.layers],
    }
    return json.dumps([document], separators=(",", ":")).encode()


def _spool(pieces: Iterable[bytes], what: str) -> BinaryIO:
    """Keep a stream: small ones in memory, larger ones in a file without a name, gone with the process."""
    import tempfile

    spool = tempfile.SpooledTemporaryFile(_SPOOL_MEMORY)  # noqa: SIM115  # the images' layers read from it
    total = 0
    try:
        for piece in pieces:
            total += len(piece)
            if total > _SPOOL_CAP:
                raise ImageError(f"reading {what}: it has more than the {_SPOOL_CAP} bytes allowed")
            spool.write(piece)
    except BaseException:
        spool.close()
        raise
    return cast(BinaryIO, spool)


class _Archive:
    """A tar file: where its members are, and their bytes on demand for as long as an image needs them."""

    def __init__(self, file: BinaryIO, what: str, owned: bool) -> None:
        self._owned = [file] if owned else []
        self._file = file
        self._what = what
        self._lock = threading.Lock()  # a seek and the read after it belong together
        self._layers: dict[str, Layer] = {}
        self._documents = 0
        self._members: dict[str, Member] = {}
        try:
            self._make_plain()
            self._list_members()
        except ImageError as error:
            raise ImageError(error.message, error.hint or _CURE) from error

    def __del__(self) -> None:
        for file in self._owned:
            file.close()

    def _make_plain(self) -> None:
        """Go on with a copy where the file cannot seek or is compressed."""
        if not self._file.seekable():
            source = self._file
            self._go_on_with(iter(lambda: source.read(1 << 20), b""))
        self._file.seek(0)
        magic = self._file.read(4)
        self._file.seek(0)
        if magic.startswith((GZIP, ZSTD)):
            self._go_on_with(unpack(self._file.read(_PACKED_CAP), self._what, _SPOOL_CAP))

    def _list_members(self) -> None:
        for count, member in enumerate(members(FileSource(self._file), self._what)):
            if count >= _MEMBERS_CAP:
                raise ImageError(f"reading {self._what}: it has more than {_MEMBERS_CAP} members")
            self._members[member.name] = member

    def _go_on_with(self, pieces: Iterable[bytes]) -> None:
        self._file = _spool(pieces, self._what)
        self._owned.append(self._file)

    def images(self, platforms: Sequence[Platform] | None) -> list[Named]:
        if not self._is_layout():
            return self._from_docker()
        seen: set[Digest] = set()
        found = ((name_of(entries[0]), load_image(self, entries, platforms)) for entries in self._named())
        return [(name, verify(counted(image, self._count), seen)) for name, image in found]

    def whole(self) -> list[tuple[Reference | None, Whole]]:
        if not self._is_layout():
            return [(name, Whole(image)) for name, image in self._from_docker()]
        seen: set[Digest] = set()
        found = [(name_of(entries[0]), load_whole(self, entries, self._count)) for entries in self._named()]
        for _, (content, _) in found:
            for image in images_of(content):
                verify(image, seen)
        return found

    def _is_layout(self) -> bool:
        """Whether it is an OCI layout, and not an older `docker save`. Raises ImageError where it is neither."""
        if "index.json" in self._members and "oci-layout" in self._members:
            return True
        if "manifest.json" in self._members:
            return False
        empty = "" if self._members else ": it is empty"
        raise ImageError(f"reading {self._what}: it has neither index.json nor manifest.json{empty}", _CURE)

    def has(self, digest: Digest) -> bool:
        """As `layout.Blobs` wants it."""
        return _blob_path(digest) in self._members

    def read(self, descriptor: Descriptor) -> bytes:
        """A blob by its digest, as `layout.Blobs` wants it."""
        path = _blob_path(descriptor.digest)
        size = self._find(path).size
        if size != descriptor.size:
            raise ImageError(f'reading "{path}" in {self._what}: {size} bytes instead of {descriptor.size}')
        return self._content(path, descriptor.size)

    def _named(self) -> Iterable[list[Descriptor]]:
        """The entries of each name, and of each that has none."""
        version = parse_object(self._content("oci-layout", DOCUMENT_CAP), self._what)
        check_layout_version(version.text("imageLayoutVersion"), self._what)
        index = Index.parse(self._content("index.json", DOCUMENT_CAP))
        named: dict[Reference | str | None, list[Descriptor]] = {}
        for entry in index.manifests:
            if not entry.is_attestation:
                tag = entry.annotations.get(REF_NAME)  # alone, it still tells images apart
                named.setdefault(name_of(entry) or tag, []).append(entry)
        if not named:
            raise ImageError(f"reading {self._what}: its index has no image")
        return named.values()

    def _from_docker(self) -> list[Named]:
        """`docker save` before version 25: manifest.json, a config and a layer.tar for each layer."""
        entries = parse_json(self._content("manifest.json", DOCUMENT_CAP), f"manifest.json of {self._what}")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ImageError(f"reading {self._what}: manifest.json is not a list of objects")
        if not entries:
            raise ImageError(f"reading {self._what}: manifest.json has no image")
        return [named for entry in entries for named in self._docker_image(Fields(self._what, entry))]

    def _docker_image(self, fields: Fields) -> list[Named]:
        paths = fields.texts("Layers")
        if len(paths) > LAYERS_CAP:
            raise ImageError(f"reading {self._what}: more than {LAYERS_CAP} layers")
        config = self._content(fields.text("Config", required=True), DOCUMENT_CAP)
        layers = tuple(self._docker_layer(path) for path in paths)
        image = Image(_manifest_for(config, layers), config, layers)
        for layer, diff_id in zip(layers, image.diff_ids, strict=True):
            _check_plain_layer(layer, diff_id)
        names = [Reference.parse(text) for text in fields.texts("RepoTags")]
        counted(image, self._count)
        return [(name, image) for name in names] or [(None, image)]

    def _count(self, size: int) -> None:
        """Many small entries may lead to the same large documents, and each image holds its own."""
        self._documents += size
        if self._documents > _DOCUMENTS_CAP:
            cause = f"the manifests and configs of its images take more than the {_DOCUMENTS_CAP} bytes allowed"
            raise ImageError(f"reading {self._what}: {cause}")

    def _docker_layer(self, path: str) -> Layer:
        """One layer for each file, however often it is named; its bytes stay where they are."""
        member = self._find(path)
        if member.name not in self._layers:
            known = sum(layer.descriptor.size for layer in self._layers.values())
            if known + member.size > _LAYERS_SUM:
                raise ImageError(f"reading {self._what}: its layers take more than the {_LAYERS_SUM} bytes allowed")
            self._layers[member.name] = self._layer_of(path, member)
        return self._layers[member.name]

    def _layer_of(self, path: str, member: Member) -> Layer:
        self._check_size(path, member, LAYER_CAP)
        summed, first = hashlib.sha256(), b""
        for start in range(0, member.size, _PIECE):
            piece = self._part(member.offset + start, min(_PIECE, member.size - start))
            summed.update(piece)
            first = first or piece[:2]
        media_type = OCI_LAYER_GZIP if first == b"\x1f\x8b" else OCI_LAYER
        descriptor = Descriptor(media_type, Digest(summed.hexdigest()), member.size)
        return Layer(descriptor, lambda: self._content(path, LAYER_CAP))

    def _find(self, path: str) -> Member:
        """An ordinary file; a link is followed within the archive, as older `docker save` used them."""
        name = posixpath.normpath(path)
        for _ in range(_LINKS):
            member = self._members.get(name)
            if member is None:
                raise ImageError(f'reading "{shown(path)}" in {self._what}: it is not there')
            if member.is_file:
                return member
            if member.kind not in ("symbolic link", "hard link"):
                raise ImageError(f'reading "{shown(path)}" in {self._what}: it is a {member.kind}')
            folder = posixpath.dirname(name) if member.kind == "symbolic link" else ""
            name = posixpath.normpath(posixpath.join(folder, member.link))
        raise ImageError(f'reading "{shown(path)}" in {self._what}: more than {_LINKS} links in a row')

    def _content(self, path: str, cap: int) -> bytes:
        member = self._find(path)
        self._check_size(path, member, cap)
        return self._part(member.offset, member.size)

    def _check_size(self, path: str, member: Member, cap: int) -> None:
        if member.size > cap:
            cause = f"it has {member.size} bytes, more than the {cap} allowed"
            raise ImageError(f'reading "{shown(path)}" in {self._what}: {cause}')

    def _part(self, offset: int, size: int) -> bytes:
        with self._lock:
            self._file.seek(offset)
            return self._file.read(size)


def _manifest_for(config: bytes, layers: Sequence[Layer]) -> bytes:
    document: Mapping[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor.of(OCI_CONFIG, config).document(),
        "layers": [layer.descriptor.document() for layer in layers],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _check_plain_layer(layer: Layer, diff_id: Digest) -> None:
    """Without a manifest, the config's diff_ids are the only digests there are."""
    if layer.descriptor.media_type == OCI_LAYER and layer.descriptor.digest != diff_id:
        raise ImageError(f'reading layer "{layer.descriptor.digest}": its config promises {diff_id}')
