"""The local store of images: one OCI layout folder that several processes may use at once.

Writers take a lock; blobs and index are written aside, flushed and renamed, so a reader needs no lock and
a process killed at any point leaves nothing worse than files that the next `remove` collects.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from wasmdock.errors import ImageError, UnavailableError, cure_of
from wasmdock.oci.fields import DOCUMENT_CAP, parse_object, shown
from wasmdock.oci.image import Descriptor, Digest, Image, Index, Platform, Reference
from wasmdock.oci.image_index import ImageIndex
from wasmdock.oci.incoming import Incoming, holding, sweep
from wasmdock.oci.layout import (
    LAYOUT_FILE,
    FolderBlobs,
    blobs_of,
    index_document,
    load_image,
    load_index,
    name_of,
    read_document,
    read_index,
)
from wasmdock.oci.lock import locked
from wasmdock.oci.manifest import INDEXES, MANIFESTS, OCI_MANIFEST
from wasmdock.oci.referrer import Referrer
from wasmdock.oci.store_entries import (
    SUBJECT,
    StoredImage,
    entry_of,
    index_line,
    line_of,
    matching,
    named,
    noted,
    platforms_of,
    serves,
    usual,
)

_STALE = 3600.0  # seconds after which a file left by a killed process is removed
_CURE = "wasmdock rmi removes it; build, load or pull it again"


__all__ = ["Store", "StoredImage"]


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
        line = line_of(image, reference, int(self._clock()))
        with self._writing("storing", reference):
            for digest, data in blobs_of(image):
                self._put_blob(digest, data)
            self._name(reference, entry_of(image, line))
        return line

    def put_index(self, index: ImageIndex, reference: Reference) -> StoredImage:
        """Store images for several platforms under one name. Raises ImageError, UnavailableError."""
        entry = index_line(index, reference, int(self._clock()))
        with self._writing("storing", reference):
            for digest, data in blobs_of(index):
                self._put_blob(digest, data)
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

    def adopt(
        self, incoming: Incoming, content: Image | ImageIndex, reference: Reference, index: Digest | None = None
    ) -> StoredImage:
        """Store an image, or an index, whose blobs, verified, are all in `incoming`: these are moved, not copied.

        index: the one an image is from, if it comes alone; a name with that digest means the image, too.
        """
        if isinstance(content, ImageIndex):
            entry = index_line(content, reference, int(self._clock()))
        else:
            entry = entry_of(content, line_of(content, reference, int(self._clock()), index))
        with self._writing("storing", reference):
            folder = self.root / "blobs" / "sha256"
            for path in incoming.paths:
                path.replace(folder / path.name)
            _flush_folder(folder)
            self._name(reference, entry)
        return self._stored(Index.parse(index_document([entry])).manifests[0])

    def get(self, name: Reference | str, platforms: Sequence[Platform] | None = None) -> Image:
        """The image of that name, tag, digest or unique beginning of a digest. Raises ImageError.

        Where a name holds several, the one for the first of `platforms` (default: Wasm, then this machine's).
        """
        entry = self._find(name, platforms=platforms)
        try:
            return self._load(entry, platforms)
        except ImageError:
            again = self._find(name, platforms=platforms)  # another process may have replaced it in between
            if again.digest != entry.digest:
                return self._load(again, platforms)
            raise

    def content(self, name: Reference | str) -> Image | ImageIndex:
        """All that a name holds: one image, or an index with its images. Raises ImageError."""
        entry = self._find(name)
        if entry.media_type not in INDEXES:
            return self._load(entry)
        blobs = FolderBlobs(self.root)
        try:
            return load_index(blobs, read_document(blobs, entry))
        except ImageError as error:
            raise ImageError(f'reading "{name}" from the store: {error.message}', _CURE) from error

    def attach(self, referrer: Referrer) -> None:
        """Keep a document about an image for as long as the image is here. Raises UnavailableError."""
        descriptor = Descriptor.of(OCI_MANIFEST, referrer.manifest, annotations={SUBJECT: str(referrer.subject)})
        with self._writing("attaching to", referrer.subject):
            for digest, data in {**referrer.blobs, referrer.digest: referrer.manifest}.items():
                self._put_blob(digest, data)
            others = [entry.document() for entry in self._entries() if entry.digest != referrer.digest]
            self._write_index([*others, descriptor.document()])

    def referrers(self, subject: Digest) -> list[Referrer]:
        """The documents about an image, in the order they came. Raises ImageError."""
        blobs, found = FolderBlobs(self.root), []
        for entry in self._entries():
            if entry.annotations.get(SUBJECT) == str(subject):
                manifest = entry.check(blobs.read(entry))
                (layer,) = parse_object(manifest, "a manifest").children("layers")
                found.append(Referrer(manifest, blobs.read(Descriptor.parse(layer))))
        return found

    def repositories(self, registry: str, digest: Digest) -> list[str]:
        """The repositories of a registry whose images here have that blob: an upload may take it from there."""
        there = [(name, entry) for entry in self._entries() if (name := name_of(entry)) and name.registry == registry]
        return sorted({name.repository for name, entry in there if self._leads_to(entry, digest)})

    def _leads_to(self, entry: Descriptor, digest: Digest) -> bool:
        try:
            return digest in self._reachable((entry,), 0)
        except ImageError:
            return False

    def resolve(self, name: Reference | str, platforms: Sequence[Platform] | None = None) -> StoredImage:
        """The line of the store that a name means. Raises ImageError that suggests what was meant.

        Where several images of one index go by its digest, that for the first of `platforms`, as in `get`.
        """
        return self._stored(self._find(name, platforms=platforms))

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
            hint = cure_of(error, "WASMDOCK_HOME")
            raise UnavailableError(f'{doing} "{shown(name)}" in "{self.root}": {cause}', hint) from error

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
        return noted(entry) or line_of(self._load(entry), named(entry), 0)

    def _find(
        self, name: Reference | str, unique: bool = False, platforms: Sequence[Platform] | None = None
    ) -> Descriptor:
        found = matching(self._entries(), name)
        if unique and len(found) > 1:
            names = ", ".join(sorted(str(name_of(entry)) for entry in found))
            raise ImageError(f'removing "{shown(name)}": it has several names', f"name one of {names}")
        entry = usual(found, platforms)
        if platforms and not serves(entry, platforms):
            wanted, there = " or ".join(map(str, platforms)), ", ".join(map(str, platforms_of(entry)))
            raise ImageError(f'choosing an image for "{wanted}": "{shown(name)}" has only {there}')
        return entry

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
        """Remove the blobs no entry leads to: none where that is not known of all. The lock must be held."""
        entries = self._entries()
        images = [entry for entry in entries if SUBJECT not in entry.annotations]
        try:
            living = set(map(str, self._reachable(images, 0)))
            left = [entry for entry in entries if entry.annotations.get(SUBJECT, "") in (*living, "")]
            kept = {digest.hex for digest in self._reachable(left, 0)}
        except ImageError:
            return
        if len(left) < len(entries):
            self._write_index([entry.document() for entry in left])
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
        """The digests of all blobs below these; a manifest that is none leads nowhere.

        Raises ImageError for a manifest that cannot be read: it may be sound, and lead to blobs.
        """
        for entry in entries:
            yield entry.digest
            if entry.size > DOCUMENT_CAP or entry.media_type not in (*MANIFESTS, *INDEXES):
                continue
            data = FolderBlobs(self.root).read(entry)
            below: tuple[Descriptor, ...] = ()
            if entry.media_type in MANIFESTS:
                with suppress(ImageError):
                    fields = parse_object(data, "a manifest")
                    for blob in (fields.child("config"), *fields.children("layers")):
                        yield Descriptor.parse(blob).digest
            elif depth < 4:
                with suppress(ImageError):
                    below = Index.parse(data).manifests
            yield from self._reachable(below, depth + 1)


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut; some file systems cannot, and that is no error."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
