"""OCI image layouts as folders: written whole or not at all, read with every digest and size verified."""

import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, cast

from wasmdock.aside import beside
from wasmdock.errors import ImageError, UnavailableError, UsageError, cure_of
from wasmdock.oci.fields import DOCUMENT_CAP, parse_object, shown
from wasmdock.oci.image import WASI, Descriptor, Digest, Image, Index, Layer, Platform, Reference
from wasmdock.oci.image_index import Attestation, ImageIndex, images_of
from wasmdock.oci.manifest import CONTAINERD_NAME, INDEXES, MANIFESTS, OCI_INDEX, REF_NAME, blobs_named, choose

LAYOUT_FILE = b'{"imageLayoutVersion":"1.0.0"}'
_DEPTH = 4  # index within index
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "AMD64": "amd64"}


class Blobs(Protocol):
    """Somewhere blobs are kept."""

    def read(self, descriptor: Descriptor) -> bytes:
        """The blob's bytes, not yet verified. Raises ImageError when it is not there or not a file."""

    def has(self, digest: Digest) -> bool:
        """Whether there is something of that name."""


def usual_platforms() -> tuple[Platform, ...]:
    """What is chosen from an index when nobody says: Wasm first, then this machine's own Linux images."""
    machine = os.uname().machine
    return (WASI, Platform("linux", _MACHINES.get(machine, machine)))


def write_layout(image: Image | ImageIndex, folder: Path, ref: Reference | None = None) -> None:
    """Write a layout with this image, or this whole index, to `folder`: new, empty, or a layout that is replaced.

    Raises UsageError where something else is there, UnavailableError where the machine refuses.
    """
    if folder.is_symlink() or (folder.exists() and not _is_replaceable(folder)):
        raise UsageError(f'writing layout "{folder}": something else is there', "name a new folder, or remove it first")
    try:
        _write_aside(image, folder, ref)
    except OSError as error:
        raise UnavailableError(f'writing layout "{folder}": {error.strerror or error}', cure_of(error)) from error


def read_layout(folder: Path, ref: Reference | str | None = None, platforms: Sequence[Platform] | None = None) -> Image:
    """Read the image named `ref` (or the only one) from a layout, verifying all of it. Raises ImageError."""
    return verify(load_image(FolderBlobs(folder), _named(folder, ref), platforms))


def read_layout_whole(folder: Path, ref: Reference | str | None = None) -> "Whole":
    """All that `ref` (or the only name) means in a layout, verifying all of it. Raises ImageError."""
    found = load_whole(FolderBlobs(folder), _named(folder, ref))
    seen: set[Digest] = set()
    for image in images_of(found.content):
        verify(image, seen)
    return found


def _named(folder: Path, ref: Reference | str | None) -> tuple[Descriptor, ...]:
    return select(read_index(folder).manifests, ref, f'layout "{folder}"')


def read_index(folder: Path) -> Index:
    """The table of contents of a layout. Raises ImageError where the folder is not a layout."""
    version = parse_object(read_regular(folder, ("oci-layout",), DOCUMENT_CAP), f'layout "{folder}"')
    check_layout_version(version.text("imageLayoutVersion"), f'layout "{folder}"')
    return Index.parse(read_regular(folder, ("index.json",), DOCUMENT_CAP))


def check_layout_version(version: str, what: str) -> None:
    """Raise ImageError for a layout of another major version."""
    if not version.startswith("1."):
        raise ImageError(f'reading {what}: its layout version is "{shown(version)}", not 1.0.0')


def index_document(entries: Sequence[dict[str, Any]]) -> bytes:
    """The bytes of an index.json with these descriptors."""
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def index_entry(image: Image | ImageIndex, ref: Reference | None, **annotations: str) -> dict[str, Any]:
    """The descriptor of an image for an index.json, named as BuildKit and containerd name it."""
    names = {CONTAINERD_NAME: ref.canonical, REF_NAME: ref.tag or str(ref.digest)} if ref else {}
    document = image.descriptor.document()
    found = dict(sorted({**names, **annotations}.items()))
    return {**document, "annotations": found} if found else document


def blobs_of(content: Image | ImageIndex) -> Iterator[tuple[Digest, bytes]]:
    """Every blob of an image, or of an index, once, sorted by digest, so that what is written does not vary."""
    images = images_of(content)
    attestations = content.attestations if isinstance(content, ImageIndex) else ()
    layers = {layer.descriptor.digest: layer for image in images for layer in image.layers}
    layers |= {blob.descriptor.digest: blob for each in attestations for blob in each.blobs}
    documents = {content.digest: content.data} if isinstance(content, ImageIndex) else {}
    documents |= {each.descriptor.digest: each.manifest for each in attestations}
    for image in images:
        documents |= {image.digest: image.manifest, image.config_descriptor.digest: image.config}
    for digest in sorted(layers.keys() | documents.keys(), key=str):
        yield digest, documents[digest] if digest in documents else layers[digest].data


class FolderBlobs:
    """The blobs of a layout's folder; nothing but ordinary files below it is opened."""

    def __init__(self, folder: Path) -> None:
        """Keep the folder; nothing is read yet."""
        self._folder = folder

    def read(self, descriptor: Descriptor) -> bytes:
        """The blob's bytes; a file of another size is refused before it is read."""
        parts = ("blobs", "sha256", descriptor.digest.hex)
        return read_regular(self._folder, parts, descriptor.size, exact=True)

    def has(self, digest: Digest) -> bool:
        """Whether there is something of that name."""
        return (self._folder / "blobs" / "sha256" / digest.hex).exists()

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """The blob as a stream, not verified. Raises ImageError when it is not there or not a file."""
        path = self._folder / "blobs" / "sha256" / descriptor.digest.hex
        try:
            return cast(BinaryIO, _open_regular(path, f'"{path}"'))
        except OSError as error:
            raise ImageError(f'reading "{path}": {error.strerror or error}') from error


def read_regular(folder: Path, parts: Sequence[str], cap: int, exact: bool = False) -> bytes:
    """Read an ordinary file below `folder`: no link on the way, no pipe, no device, at most `cap` bytes.

    With `exact` it must have just that many. Raises ImageError.
    """
    what = f'"{folder.joinpath(*parts)}"'
    try:
        for count in range(1, len(parts)):
            _refuse_link(folder.joinpath(*parts[:count]), what)
        with _open_regular(folder.joinpath(*parts), what) as file:
            return _read_whole(file, cap, exact, what)
    except FileNotFoundError as error:
        raise ImageError(f"reading {what}: it is not there", "the layout is incomplete or not one") from error
    except OSError as error:
        raise ImageError(f"reading {what}: {error.strerror or error}") from error


def _refuse_link(path: Path, what: str) -> None:
    if path.is_symlink():
        raise ImageError(f"reading {what}: a symbolic link is on the way", "copy the layout with cp -rL")


def _open_regular(path: Path, what: str) -> FileIO:
    """Open without following a link and without waiting for the other end of a pipe."""
    _refuse_link(path, what)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ImageError(f"reading {what}: it is not an ordinary file")
    return os.fdopen(handle, "rb", buffering=0)


def _read_whole(file: FileIO, cap: int, exact: bool, what: str) -> bytes:
    size = os.fstat(file.fileno()).st_size
    if exact and size != cap:
        raise ImageError(f"reading {what}: it has {size} bytes instead of {cap}")
    if size > cap:
        raise ImageError(f"reading {what}: it has {size} bytes, more than the {cap} allowed")
    found = bytearray()
    while len(found) <= cap and (piece := file.read(min(cap + 1 - len(found), 1 << 20))):
        found += piece
    return bytes(found)


def select(entries: Sequence[Descriptor], ref: Reference | str | None, what: str) -> tuple[Descriptor, ...]:
    """The entries of a layout that one name means; without a name, all of them if they have one name at most.

    Raises ImageError that lists the names there are.
    """
    images = tuple(entry for entry in entries if not entry.is_attestation)
    found = tuple(entry for entry in images if ref is None or _is_named(entry, ref))
    names = sorted({_shown_name(entry) for entry in images} - {""})
    listed = ", ".join(names[:20]) or "no name"
    if not found:
        wanted = f' the image "{shown(ref)}"' if ref is not None else " an image"
        raise ImageError(f"finding{wanted} in {what}: it has {listed if images else 'no image'}")
    if ref is None and len({entry.digest for entry in found}) > 1 and len(names) > 1:
        raise ImageError(f"reading {what}: it has several images: {listed}", "name one of them")
    return found


def name_of(entry: Descriptor) -> Reference | None:
    """The complete name an index gives an entry, None where it gives none or only a tag."""
    for text in (entry.annotations.get(CONTAINERD_NAME, ""), entry.annotations.get(REF_NAME, "")):
        if "/" in text or ":" in text:
            try:
                return Reference.parse(text)
            except ImageError:
                continue
    return None


def _shown_name(entry: Descriptor) -> str:
    return str(name_of(entry) or "") or shown(entry.annotations.get(REF_NAME, ""))


def _is_named(entry: Descriptor, ref: Reference | str) -> bool:
    text = str(ref)
    if text in (str(entry.digest), entry.annotations.get(REF_NAME)):
        return True
    try:
        wanted = ref if isinstance(ref, Reference) else Reference.parse(ref)
    except ImageError:
        return False
    name = name_of(entry)
    if wanted.digest and wanted.digest != entry.digest:
        return False
    return name == wanted or bool(name and wanted.digest and name.name == wanted.name)


def load_image(blobs: Blobs, entries: Sequence[Descriptor], platforms: Sequence[Platform] | None) -> Image:
    """The image that an index's entries lead to, through further indexes where need be. Raises ImageError."""
    image = _chosen(blobs, entries, platforms or usual_platforms())
    if platforms and not any(image.platform.matches(platform) for platform in platforms):
        names = " or ".join(map(str, platforms))
        raise ImageError(f'choosing an image for "{names}": there is only {shown(image.platform)}')
    return image


def load_index(blobs: Blobs, data: bytes, count: Callable[[int], None] = lambda _bytes: None) -> ImageIndex:
    """An index with the images and attestations it lists; `count` hears of the bytes kept. Raises ImageError."""
    entries = Index.parse(data).manifests
    images = tuple(counted(load_image(blobs, (entry,), None), count) for entry in entries if not entry.is_attestation)
    about = tuple(_attestation(blobs, entry, count) for entry in entries if entry.is_attestation)
    return ImageIndex(data, images, about)


class Whole(NamedTuple):
    """All that one name means: an image, or an index with its images; left_out are those that are not kept."""

    content: Image | ImageIndex
    left_out: tuple[Platform, ...] = ()


def load_whole(
    blobs: Blobs, entries: Sequence[Descriptor], count: Callable[[int], None] = lambda _bytes: None
) -> Whole:
    """The index that a name means, where it lists several images and all are here; else the usual image of these.

    `docker save` writes the index even where the engine has some of its images only. Raises ImageError.
    """
    data = read_document(blobs, entries[0]) if len(entries) == 1 and entries[0].media_type in INDEXES else b""
    listed = Index.parse(data).manifests if data else tuple(entries)
    images = [entry for entry in listed if not entry.is_attestation]
    if data and len(images) > 1 and _are_here(blobs, listed):
        return Whole(load_index(blobs, data, count))
    image = counted(load_image(blobs, entries, None), count)
    others = (entry.platform for entry in images if entry.digest != image.digest)
    return Whole(image, tuple(platform for platform in others if platform and platform != image.platform))


def _are_here(blobs: Blobs, listed: Sequence[Descriptor]) -> bool:
    """Whether each is a manifest that is here with all of its blobs; one that is listed twice is none of ours."""
    return len({entry.digest for entry in listed}) == len(listed) and all(
        entry.media_type in MANIFESTS
        and blobs.has(entry.digest)
        and all(blobs.has(blob.digest) for blob in blobs_named(read_document(blobs, entry)))
        for entry in listed
    )


def counted(image: Image, count: Callable[[int], None]) -> Image:
    """The image, once `count` has heard of the bytes of its documents."""
    count(len(image.manifest) + len(image.config))
    return image


def _attestation(blobs: Blobs, entry: Descriptor, count: Callable[[int], None]) -> Attestation:
    manifest = read_document(blobs, entry)
    count(len(manifest))
    opener = blobs.open if isinstance(blobs, FolderBlobs) else None
    return Attestation(
        manifest,
        tuple(
            Layer(each, partial(blobs.read, each), partial(opener, each) if opener else None)
            for each in blobs_named(manifest)
        ),
    )


def _chosen(blobs: Blobs, entries: Sequence[Descriptor], wanted: Sequence[Platform]) -> Image:
    entry = entries[0] if len(entries) == 1 else choose(entries, wanted)
    for _ in range(_DEPTH):
        if entry.media_type in MANIFESTS:
            return _load_manifest(blobs, entry)
        if entry.media_type not in INDEXES:
            cause = f'the media type "{shown(entry.media_type)}" is not an image'
            raise ImageError(f'reading "{entry.digest}": {cause}')
        entry = Index.parse(read_document(blobs, entry)).choose(wanted)
    raise ImageError(f'reading "{entry.digest}": more than {_DEPTH} indexes within each other')


def read_document(blobs: Blobs, entry: Descriptor) -> bytes:
    """A manifest's or index's bytes, verified, its declared type compared with the descriptor's."""
    _check_document_size(entry)
    data = entry.check(blobs.read(entry))
    declared = parse_object(data, f'"{entry.digest}"').text("mediaType")
    if declared and declared != entry.media_type:
        cause = f'it says it is "{shown(declared)}", its index "{shown(entry.media_type)}"'
        raise ImageError(f'reading "{entry.digest}": {cause}')
    return data


def _load_manifest(blobs: Blobs, entry: Descriptor) -> Image:
    data = read_document(blobs, entry)
    if isinstance(blobs, FolderBlobs):
        image = Image.parse(data, blobs.read, opener=blobs.open)
    else:  # a gzipped archive's layers may be far larger than it: they stay on the disk
        image = Image.parse(data, blobs.read, eager=-1)
    if entry.platform and entry.platform.architecture != image.platform.architecture:
        cause = f"the index says {shown(entry.platform)}, the image {shown(image.platform)}"
        raise ImageError(f'reading "{entry.digest}": {cause}')
    return image


def _check_document_size(entry: Descriptor) -> None:
    if entry.size > DOCUMENT_CAP:
        cause = f"it has {entry.size} bytes, more than the {DOCUMENT_CAP} allowed"
        raise ImageError(f'reading "{entry.digest}": {cause}')


def verify(image: Image, seen: set[Digest] | None = None) -> Image:
    """The same image once the layers that are read only when used are verified too, each once. Raises ImageError.

    `seen` are the digests that were verified before; those verified here are added.
    """
    seen = set() if seen is None else seen
    for layer in image.layers:
        if layer.descriptor.digest not in seen and not isinstance(layer.source, bytes):
            layer.data  # noqa: B018  # reading verifies
            seen.add(layer.descriptor.digest)
    return image


def _is_replaceable(folder: Path) -> bool:
    return folder.is_dir() and ((folder / "oci-layout").is_file() or not any(folder.iterdir()))


def _write_aside(image: Image | ImageIndex, folder: Path, ref: Reference | None) -> None:
    """Everything goes to a folder beside the final one, which is renamed when it is complete."""
    import shutil

    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = beside(folder)
    try:  # from here on: a signal may come as soon as the folder is there
        aside.mkdir(mode=0o700)
        new = aside / "new"
        _write_files(image, new, ref)
        _swap(new, folder, aside / "old")
    finally:
        if folder.exists() or not (aside / "old").exists():
            shutil.rmtree(aside, ignore_errors=True)


def _swap(new: Path, folder: Path, old: Path) -> None:
    """Put `new` in the folder's place; where that fails, what was there is put back, or stays in `old`."""
    if folder.exists():
        folder.rename(old)
    try:
        new.rename(folder)
    except BaseException:
        with suppress(OSError):
            old.rename(folder)
        raise


def _write_files(image: Image | ImageIndex, folder: Path, ref: Reference | None) -> None:
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for digest, data in blobs_of(image):
        (blobs / digest.hex).write_bytes(data)
    (folder / "index.json").write_bytes(index_document([index_entry(image, ref)]))
    (folder / "oci-layout").write_bytes(LAYOUT_FILE)
