"""The local store of images: one OCI layout folder that several processes may use at once.

Writers take a lock; blobs and index are written aside, flushed and renamed, so a reader needs no lock and
a process killed at any point leaves nothing worse than files that the next `remove` collects.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wasmdock.errors import ImageError, UnavailableError
from wasmdock.oci.fields import DOCUMENT_CAP, shown
from wasmdock.oci.image import Descriptor, Digest, Image, Index, Manifest, Platform, Reference
from wasmdock.oci.image_index import ImageIndex
from wasmdock.oci.incoming import Incoming, holding, sweep
from wasmdock.oci.layout import (
    LAYOUT_FILE,
    FolderBlobs,
    blobs_of,
    index_document,
    index_entry,
    load_image,
    name_of,
    read_document,
    read_index,
    usual_platforms,
)
from wasmdock.oci.lock import locked
from wasmdock.oci.manifest import CONTAINERD_NAME, INDEXES, MANIFESTS, REF_NAME

_SIZE = "dev.wasmdock.packed-size"
_STORED = "dev.wasmdock.stored"
_PLATFORMS = "dev.wasmdock.platforms"
_CREATED = "org.opencontainers.image.created"
_SHORTEST_PREFIX = 4  # hex digits
_STALE = 3600.0  # seconds after which a file left by a killed process is removed
_CURE = "wasmdock rmi removes it; build, load or pull it again"


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One line of the store: created is RFC 3339 text from the image, stored is seconds since 1970.

    digest is the index's where one name holds images for several `platforms`; platform is the one used here.
    """

    reference: Reference
    digest: Digest
    platform: Platform
    packed_size: int
    created: str
    stored: int
    platforms: tuple[Platform, ...] = ()


class Store:
    """Images by name under one folder. `root` is made on the first `put`; a missing one is empty."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        """Keep the folder; nothing is read or written yet."""
        self.root = root
        self._clock = clock

    def put(self, image: Image, reference: Reference) -> StoredImage:
        """Store an image under a name, taking the name from another image if need be.

        Blobs that are there and sound are not written again. Raises ImageError, UnavailableError.
        """
        if reference.digest not in (None, image.digest):
            raise ImageError(f'storing "{reference}": the image has the digest {image.digest}')
        line = _line(image, reference, int(self._clock()))
        with self._writing("storing", reference):
            for digest, data in blobs_of(image):
                self._put_blob(digest, data)
            self._name(reference, _entry(image, line))
        return line

    def put_index(self, index: ImageIndex, reference: Reference) -> StoredImage:
        """Store images for several platforms under one name. Raises ImageError, UnavailableError."""
        entry = _index_line(index, reference, int(self._clock()))
        with self._writing("storing", reference):
            for image in index.images:
                for digest, data in blobs_of(image):
                    self._put_blob(digest, data)
            self._put_blob(index.digest, index.data)
            self._name(reference, entry)
        return self._stored(Index.parse(index_document([entry])).manifests[0])

    @contextmanager
    def receive(self) -> Iterator[Incoming]:
        """A place for blobs that come one by one; `adopt` takes them over, otherwise they are removed."""
        import secrets

        transfers = self.root / "transfers"
        with ExitStack() as held:
            with self._writing("receiving into", "the store"):
                transfers.mkdir(exist_ok=True)
                sweep(transfers)
                folder = transfers / secrets.token_hex(8)
                held.enter_context(holding(folder))
            yield Incoming(folder, self.root)

    def adopt(self, incoming: Incoming, image: Image, reference: Reference) -> StoredImage:
        """Store an image whose blobs, verified, are all in `incoming`: these are moved, not copied."""
        line = _line(image, reference, int(self._clock()))
        with self._writing("storing", reference):
            folder = self.root / "blobs" / "sha256"
            for path in incoming.paths:
                path.replace(folder / path.name)
            _flush_folder(folder)
            self._name(reference, _entry(image, line))
        return line

    def get(self, name: Reference | str, platforms: Sequence[Platform] | None = None) -> Image:
        """The image of that name, tag, digest or unique beginning of a digest. Raises ImageError.

        Where a name holds several, the one for the first of `platforms` (default: Wasm, then this machine's).
        """
        entry = self._find(name)
        try:
            return self._load(entry, platforms)
        except ImageError:
            again = self._find(name)  # another process may have replaced it in between
            if again.digest != entry.digest:
                return self._load(again, platforms)
            raise

    def content(self, name: Reference | str) -> Image | ImageIndex:
        """All that a name holds: one image, or an index with its images. Raises ImageError."""
        entry = self._find(name)
        if entry.media_type not in INDEXES:
            return self._load(entry)
        data = read_document(FolderBlobs(self.root), entry)
        return ImageIndex(data, tuple(self._load(each) for each in Index.parse(data).manifests))

    def repositories(self, registry: str, digest: Digest) -> list[str]:
        """The repositories of a registry whose images here have that blob: an upload may take it from there."""
        there = [(name, entry) for entry in self._entries() if (name := name_of(entry)) and name.registry == registry]
        return sorted({name.repository for name, entry in there if digest in set(self._reachable((entry,), 0))})

    def resolve(self, name: Reference | str) -> StoredImage:
        """The line of the store that a name means. Raises ImageError that suggests what was meant."""
        return self._stored(self._find(name))

    def images(self) -> list[StoredImage]:
        """Every name in the store, sorted."""
        lines = [self._stored(entry) for entry in self._entries() if name_of(entry)]
        return sorted(lines, key=lambda line: line.reference.familiar)

    def remove(self, name: Reference | str) -> StoredImage:
        """Take one name out of the store, and the blobs no other image needs. Raises ImageError."""
        with self._writing("removing", name):
            entry = self._find(name, unique=True)
            line = self._stored(entry)
            self._write_index([other.document() for other in self._entries() if other != entry])
            self._collect()
        return line

    def _name(self, reference: Reference, entry: dict[str, Any]) -> None:
        """Give the name to an entry, taking it from another if need be. The lock must be held."""
        before = self._entries()
        others = [other for other in before if name_of(other) != reference]
        self._write_index([*(other.document() for other in others), entry])
        if len(others) < len(before):
            self._collect()

    @contextmanager
    def _writing(self, doing: str, name: object) -> Iterator[None]:
        try:
            (self.root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
            with locked(self.root / "lock"):
                self._sweep()
                if not (self.root / "oci-layout").exists():
                    self._write(self.root / "oci-layout", LAYOUT_FILE)
                yield
        except OSError as error:
            cause = error.strerror or str(error)
            raise UnavailableError(f'{doing} "{shown(name)}" in "{self.root}": {cause}') from error

    def _entries(self) -> Sequence[Descriptor]:
        try:
            (self.root / "index.json").stat()
            return read_index(self.root).manifests
        except ImageError as error:
            hint = f"the store is spoiled: move {self.root} away; its images must be built or loaded again"
            raise ImageError(f'reading the store "{self.root}": {error.message}', hint) from error
        except FileNotFoundError:
            return ()
        except OSError as error:
            cause = error.strerror or str(error)
            raise UnavailableError(f'reading the store "{self.root}": {cause}') from error

    def _load(self, entry: Descriptor, platforms: Sequence[Platform] | None = None) -> Image:
        try:
            return load_image(FolderBlobs(self.root), (entry,), platforms)
        except ImageError as error:
            name = name_of(entry) or entry.digest
            raise ImageError(f'reading "{name}" from the store: {error.message}', _CURE) from error

    def _stored(self, entry: Descriptor) -> StoredImage:
        """What the index alone says; a layout another tool wrote says less, and the image is read."""
        name = name_of(entry) or Reference("localhost", "unnamed", "", entry.digest)
        notes = entry.annotations
        size, stored = notes.get(_SIZE, ""), notes.get(_STORED, "")
        if entry.platform and size.isdecimal() and stored.isdecimal():
            created = notes.get(_CREATED, "")
            return StoredImage(name, entry.digest, entry.platform, int(size), created, int(stored))
        if _PLATFORMS in notes and size.isdecimal() and stored.isdecimal():
            platforms = tuple(Platform.parse(text) for text in notes[_PLATFORMS].split(","))
            used = _usual(platforms)
            return StoredImage(name, entry.digest, used, int(size), "", int(stored), platforms)
        return _line(self._load(entry), name, 0)

    def _find(self, name: Reference | str, unique: bool = False) -> Descriptor:
        entries = self._entries()
        reference = name if isinstance(name, Reference) else _reference(name)
        found = [entry for entry in entries if reference and _is(entry, reference)]
        if not found and isinstance(name, str):
            found = _by_digest(entries, name)
        if not found:
            raise _unknown(name, entries)
        if unique and len(found) > 1:
            names = ", ".join(sorted(str(name_of(entry)) for entry in found))
            raise ImageError(f'removing "{shown(name)}": it has several names', f"name one of {names}")
        return found[0]

    def _put_blob(self, digest: Digest, data: bytes) -> None:
        path = self.root / "blobs" / "sha256" / digest.hex
        with suppress(ImageError):
            descriptor = Descriptor("", digest, len(data))
            descriptor.check(FolderBlobs(self.root).read(descriptor))
            return
        self._write(path, data)

    def _write_index(self, entries: Sequence[dict[str, Any]]) -> None:
        index = index_document(entries)
        if len(index) > DOCUMENT_CAP:
            raise UnavailableError(f'writing the store "{self.root}": too many images', "wasmdock rmi some")
        self._write(self.root / "index.json", index)

    def _write(self, path: Path, data: bytes) -> None:
        """Beside the final place, flushed to the disk, then renamed: whole or not at all."""
        aside = self.root / "ingest" / f"{path.name[:20]}.{os.getpid()}.{time.monotonic_ns()}"
        try:
            with aside.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        _flush_folder(path.parent)

    def _collect(self) -> None:
        """Remove the blobs no entry leads to, The lock must be held."""
        kept = {digest.hex for digest in self._reachable(self._entries(), 0)}
        for blob in (self.root / "blobs" / "sha256").iterdir():
            if blob.name not in kept:
                blob.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove what killed processes left half written."""
        ingest = self.root / "ingest"
        ingest.mkdir(exist_ok=True)
        for left in ingest.iterdir():
            if left.stat().st_mtime < self._clock() - _STALE:
                left.unlink()

    def _reachable(self, entries: Iterable[Descriptor], depth: int) -> Iterator[Digest]:
        """The digests of all blobs below these; a spoiled manifest leads nowhere."""
        for entry in entries:
            yield entry.digest
            with suppress(ImageError):
                if entry.media_type in MANIFESTS and entry.size <= DOCUMENT_CAP:
                    manifest = Manifest.parse(FolderBlobs(self.root).read(entry))
                    yield manifest.config.digest
                    yield from (layer.digest for layer in manifest.layers)
                elif entry.media_type in INDEXES and entry.size <= DOCUMENT_CAP and depth < 4:
                    index = Index.parse(FolderBlobs(self.root).read(entry))
                    yield from self._reachable(index.manifests, depth + 1)


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut; some file systems cannot, and that is no error."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _line(image: Image, reference: Reference, stored: int) -> StoredImage:
    return StoredImage(reference, image.digest, image.platform, image.packed_size, image.created, stored)


def _entry(image: Image, line: StoredImage) -> dict[str, Any]:
    notes = {_SIZE: str(line.packed_size), _STORED: str(line.stored), _CREATED: line.created}
    return index_entry(image, line.reference, **{key: value for key, value in notes.items() if value})


def _index_line(index: ImageIndex, reference: Reference, stored: int) -> dict[str, Any]:
    platforms = ",".join(map(str, index.platforms))
    notes = {_SIZE: str(index.packed_size), _STORED: str(stored), _PLATFORMS: platforms}
    names = {CONTAINERD_NAME: reference.canonical, REF_NAME: reference.tag or str(reference.digest)}
    return {**index.descriptor.document(), "annotations": dict(sorted({**names, **notes}.items()))}


def _usual(platforms: Sequence[Platform]) -> Platform:
    """The platform that is used here when nobody says."""
    for wanted in usual_platforms():
        for platform in platforms:
            if platform.matches(wanted):
                return platform
    return platforms[0]


def _reference(text: str) -> Reference | None:
    try:
        return Reference.parse(text)
    except ImageError:
        return None


def _is(entry: Descriptor, wanted: Reference) -> bool:
    """`name:tag` must agree; a digest, where it is given, must be the image's."""
    name = name_of(entry)
    if name is None or name.name != wanted.name or wanted.digest not in (None, entry.digest):
        return False
    return not wanted.tag or wanted.tag == name.tag


def _by_digest(entries: Sequence[Descriptor], text: str) -> list[Descriptor]:
    """Entries whose digest begins so; an error where these are different images."""
    prefix = text.removeprefix("sha256:")
    if len(prefix) < _SHORTEST_PREFIX or prefix.strip("0123456789abcdef"):
        return []
    found = [entry for entry in entries if entry.digest.hex.startswith(prefix)]
    if len({entry.digest for entry in found}) > 1:
        digests = ", ".join(sorted({entry.digest.short for entry in found}))
        raise ImageError(f'finding image "{text}": several digests begin so', f"one of {digests}")
    return found


def _unknown(name: Reference | str, entries: Sequence[Descriptor]) -> ImageError:
    import difflib

    known = {str(found): found for entry in entries if (found := name_of(entry))}
    spellings = {text: text for text in known} | {found.familiar_name: text for text, found in known.items()}
    close = difflib.get_close_matches(str(name), spellings, n=3, cutoff=0.6)
    meant = " or ".join(dict.fromkeys(spellings[text] for text in close))
    hint = f"did you mean {meant}?" if meant else "wasmdock images lists what is there"
    return ImageError(f'finding image "{shown(name)}": not in the store', hint)
