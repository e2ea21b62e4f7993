"""Whole images between registries and the store: blobs in parallel, the name last, nothing half-written."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from wasmdock.errors import ImageError, RegistryError
from wasmdock.oci.fields import DOCUMENT_CAP, parse_object, shown
from wasmdock.oci.image import Descriptor, Digest, Image, Index, Manifest, Platform, Reference
from wasmdock.oci.image_index import ImageIndex
from wasmdock.oci.incoming import Incoming
from wasmdock.oci.layout import usual_platforms
from wasmdock.oci.manifest import INDEXES, LAYER_CAP, MANIFESTS
from wasmdock.oci.registry import Registry
from wasmdock.oci.registry_blobs import fetch_blob, send_blob
from wasmdock.oci.store import Store, StoredImage

_WIDTH = 4  # blobs at a time
_SOURCES = 3  # repositories that are asked to give a blob away
_DEPTH = 4  # index within index
_MANIFESTS_CAP = 1000  # manifests below one name


class Progress(Protocol):
    """Told of bytes; called from several threads."""

    def expect(self, count: int) -> None:
        """So many more bytes are to move."""

    def moved(self, count: int) -> None:
        """So many did; negative: they have to move again."""


class Silence:
    """Progress nobody sees."""

    def expect(self, count: int) -> None:
        """Say nothing."""

    def moved(self, count: int) -> None:
        """Say nothing."""


class Sent(NamedTuple):
    """What a push or a copy did: the digest the name now has, and blobs sent, mounted, and there already.

    manifests are all that were copied, the name's own last.
    """

    digest: Digest
    sent: int
    mounted: int
    there: int
    manifests: tuple[Digest, ...] = ()


def pull(
    registry: Registry,
    reference: Reference,
    store: Store,
    *,
    platforms: Sequence[Platform] | None = None,
    progress: Progress | None = None,
) -> StoredImage:
    """Bring an image into the store: the one for the first of `platforms` (default: Wasm, then this machine's).

    Blobs the store has are not fetched. Raises RegistryError, ImageError, UnavailableError; the store then is
    as it was.
    """
    doing, progress = f'pulling "{reference}"', progress or Silence()
    with during(doing):
        manifest = _find_manifest(registry, reference, platforms, doing)
        parsed = Manifest.parse(manifest)
        with store.receive() as incoming:
            _fetch(registry, reference, [parsed.config], incoming, doing, progress)
            _check_platform(parsed, incoming, platforms)
            _fetch(registry, reference, parsed.layers, incoming, doing, progress)
            with incoming.writing(Descriptor.of(parsed.media_type, manifest)) as file:
                file.write(manifest)
            image = Image.parse(manifest, incoming.read, opener=incoming.open)
            name = reference._replace(digest=image.digest if reference.digest else None)
            return store.adopt(incoming, image, name)


def push(
    registry: Registry,
    reference: Reference,
    content: Image | ImageIndex,
    *,
    sources: Callable[[Digest], Sequence[str]] = lambda _: (),
    progress: Progress | None = None,
) -> Sent:
    """Give a registry an image, or an index with its images, under a name.

    The name is set when everything else is there, and no blob is sent that the registry has or can take from
    one of its other repositories (`sources`). Raises RegistryError, ImageError.
    """
    doing, progress = f'pushing "{reference}"', progress or Silence()
    images = content.images if isinstance(content, ImageIndex) else (content,)
    data = content.data if isinstance(content, ImageIndex) else content.manifest
    name = reference.tag or str(content.digest)
    if reference.digest not in (None, content.digest):
        raise ImageError(f"{doing}: the image has the digest {content.digest}")
    blobs = {blob.digest: (blob, opened) for image in images for blob, opened in _blobs(image)}
    if registry.digest(reference.repository, name, doing) == content.digest:
        return Sent(content.digest, 0, 0, len(blobs))
    give = Giving(registry, reference.repository, doing, sources, progress)
    _in_parallel([lambda blob=blob, opened=opened: give(blob, opened) for blob, opened in blobs.values()])  # type: ignore[misc]  # mypy cannot type defaults of a lambda
    if isinstance(content, ImageIndex):
        for image in images:
            registry.put_manifest(
                reference.repository, str(image.digest), image.descriptor.media_type, image.manifest, doing
            )
    registry.put_manifest(reference.repository, name, content.descriptor.media_type, data, doing)
    return Sent(content.digest, give.sent, give.mounted, give.there)


def copy(
    source: Registry, origin: Reference, target: Registry, name: Reference, *, progress: Progress | None = None
) -> Sent:
    """Copy all that a name holds from registry to registry, byte for byte: every platform, and attestations.

    Each blob passes through a temporary file, verified before it is sent on. Raises RegistryError, ImageError.
    """
    import tempfile  # brings compression along, which a pull need not wait for

    doing, progress = f'copying "{origin}" to "{name}"', progress or Silence()
    with during(doing):
        top, data = source.manifest(origin.repository, _wanted(origin), doing)
        tree = list(_tree(source, origin.repository, top, data, doing))
        blobs = {blob.digest: blob for _, each in tree for blob in _blobs_named(each)}
        same = (origin.repository,) if source.name == target.name else ()
        give = Giving(target, name.repository, doing, lambda _: same, progress)

        def carry(blob: Descriptor) -> None:
            if give.is_there(blob, same):
                return
            with tempfile.TemporaryDirectory(prefix="wasmdock-") as folder:
                path = Path(folder, blob.digest.hex)
                with path.open("wb") as file:
                    fetch_blob(source, origin.repository, blob, file, doing)
                give.send(blob, lambda: path.open("rb"))

        _in_parallel([lambda blob=blob: carry(blob) for blob in blobs.values()])  # type: ignore[misc]  # as above
        for descriptor, each in tree[:-1]:
            target.put_manifest(name.repository, str(descriptor.digest), descriptor.media_type, each, doing)
        target.put_manifest(name.repository, name.tag or str(top.digest), top.media_type, data, doing)
        copied = tuple(descriptor.digest for descriptor, _ in tree)
        return Sent(top.digest, give.sent, give.mounted, give.there, copied)


@contextmanager
def during(doing: str) -> Iterator[None]:
    """Say what was being done where a document itself is at fault."""
    try:
        yield
    except RegistryError:
        raise
    except ImageError as error:
        raise ImageError(f"{doing}: {error.message}", error.hint) from error


def _wanted(reference: Reference) -> str:
    return str(reference.digest) if reference.digest else reference.tag


def _find_manifest(registry: Registry, reference: Reference, platforms: Sequence[Platform] | None, doing: str) -> bytes:
    """The manifest of one image, through indexes where need be."""
    entry, data = registry.manifest(reference.repository, _wanted(reference), doing)
    for _ in range(_DEPTH):
        if entry.media_type in MANIFESTS:
            return data
        chosen = Index.parse(data).choose(platforms or usual_platforms())
        entry, data = listed(registry, reference.repository, chosen, doing)
    raise ImageError(f"more than {_DEPTH} indexes within each other")


def listed(registry: Registry, repository: str, entry: Descriptor, doing: str) -> tuple[Descriptor, bytes]:
    """A manifest that an index lists, as it lists it."""
    if entry.size > DOCUMENT_CAP:
        raise ImageError(f'manifest "{entry.digest}" has {entry.size} bytes, more than the {DOCUMENT_CAP} allowed')
    if entry.media_type not in (*MANIFESTS, *INDEXES):
        raise ImageError(f'"{entry.digest}" is no image: its media type is "{shown(entry.media_type)}"')
    found, data = registry.manifest(repository, str(entry.digest), doing)
    if (found.size, found.media_type) != (entry.size, entry.media_type):
        said = f"{entry.size} bytes of {shown(entry.media_type)}"
        raise ImageError(f'manifest "{entry.digest}": the index says {said}, the registry has another')
    return found, data


def _fetch(
    registry: Registry,
    reference: Reference,
    blobs: Sequence[Descriptor],
    incoming: Incoming,
    doing: str,
    progress: Progress,
) -> None:
    missing = [blob for blob in {blob.digest: blob for blob in blobs}.values() if not incoming.take(blob)]
    progress.expect(sum(blob.size for blob in missing))

    def fetch(blob: Descriptor) -> None:
        what = f'{doing}: fetching blob "sha256:{blob.digest.short}..."'
        with incoming.writing(blob) as file:
            fetch_blob(registry, reference.repository, blob, file, what, progress.moved)

    _in_parallel([lambda blob=blob: fetch(blob) for blob in missing])  # type: ignore[misc]  # as above


def _check_platform(manifest: Manifest, incoming: Incoming, platforms: Sequence[Platform] | None) -> None:
    """Refuse before the layers are fetched: a config that is none, an image for another platform."""
    fields = parse_object(incoming.read(manifest.config), f'config "{manifest.config.digest}"')
    found = Platform(fields.text("os", required=True), fields.text("architecture", required=True))
    if platforms and not any(found.matches(platform) for platform in platforms):
        names = " or ".join(map(str, platforms))
        raise ImageError(f'choosing an image for "{names}": there is only {shown(found)}')


def _blobs(image: Image) -> Iterator[tuple[Descriptor, Callable[[], BinaryIO]]]:
    import io

    yield image.config_descriptor, lambda: io.BytesIO(image.config)
    for layer in image.layers:
        yield layer.descriptor, layer.open


class Giving:
    """Gives a registry the blobs it lacks, and counts."""

    def __init__(
        self,
        registry: Registry,
        repository: str,
        doing: str,
        sources: Callable[[Digest], Sequence[str]],
        progress: Progress,
    ) -> None:
        """Keep where to; sources are other repositories of the registry that have a blob."""
        self.sent = self.mounted = self.there = 0
        self._registry = registry
        self._repository = repository
        self._doing = doing
        self._sources = sources
        self._progress = progress
        self._lock = threading.Lock()

    def __call__(self, blob: Descriptor, opened: Callable[[], BinaryIO]) -> None:
        """Give one blob, unless it is there or comes from elsewhere."""
        others = [each for each in self._sources(blob.digest) if each != self._repository]
        if not self.is_there(blob, others):
            self.send(blob, opened)

    def is_there(self, blob: Descriptor, others: Sequence[str] = ()) -> bool:
        """Whether the registry has the blob, or takes it from one of its other repositories."""
        if self._registry.has_blob(self._repository, blob.digest, self._doing):
            with self._lock:
                self.there += 1
            return True
        for other in others[:_SOURCES]:
            if other != self._repository:
                answer = self._registry.start_upload(self._repository, self._doing, (blob.digest, other))
                answer.drain()
                if answer.status == 201:
                    with self._lock:
                        self.mounted += 1
                    return True
        return False

    def send(self, blob: Descriptor, opened: Callable[[], BinaryIO]) -> None:
        """Send one blob."""
        self._progress.expect(blob.size)
        what = f'{self._doing}: sending blob "sha256:{blob.digest.short}..."'
        send_blob(self._registry, self._repository, blob, opened, what, self._progress.moved)
        with self._lock:
            self.sent += 1


def _tree(
    source: Registry, repository: str, top: Descriptor, data: bytes, doing: str, depth: int = 0
) -> Iterator[tuple[Descriptor, bytes]]:
    """Every manifest below a name, children before parents."""
    count = 0
    if top.media_type in INDEXES:
        if depth >= _DEPTH:
            raise ImageError(f"more than {_DEPTH} indexes within each other")
        for entry in Index.parse(data).manifests:
            found, below = listed(source, repository, entry, doing)
            for each in _tree(source, repository, found, below, doing, depth + 1):
                count += 1
                if count > _MANIFESTS_CAP:
                    raise ImageError(f"more than {_MANIFESTS_CAP} manifests below one name")
                yield each
    yield top, data


def _blobs_named(manifest: bytes) -> list[Descriptor]:
    """The blobs of any manifest, be it an image's or an artifact's."""
    fields = parse_object(manifest, "the manifest")
    named = [fields.child("config")] if fields.has("config") else []
    found = [Descriptor.parse(each) for each in (*named, *fields.children("layers"))]
    for blob in found:
        if blob.size > LAYER_CAP:
            raise ImageError(f'blob "{blob.digest}" has {blob.size} bytes, more than the {LAYER_CAP} allowed')
    return found


def _in_parallel(jobs: Sequence[Callable[[], None]]) -> None:
    """Do the jobs, a few at a time. After the first failure none is begun; what still runs ends with the process."""
    if len(jobs) < 2:
        for job in jobs:
            job()
        return
    waiting = deque(jobs)
    endings: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    for _ in range(min(_WIDTH, len(jobs))):
        threading.Thread(target=_work, args=(waiting, endings), name="wasmdock-blob", daemon=True).start()
    try:
        for _ in jobs:
            failure = endings.get()
            if failure is not None:
                raise failure
    finally:
        waiting.clear()


def _work(waiting: deque[Callable[[], None]], endings: "queue.SimpleQueue[BaseException | None]") -> None:
    while waiting:
        try:
            job = waiting.popleft()
        except IndexError:  # another thread was faster
            return
        try:
            job()
            endings.put(None)
        except BaseException as error:  # handed to the waiting thread
            endings.put(error)
            return
