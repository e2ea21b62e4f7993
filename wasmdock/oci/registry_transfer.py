"""Whole images between registries and the store: blobs in parallel, the name last, nothing half-written."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from wasmdock.errors import ImageError, RegistryError
from wasmdock.oci.fields import parse_object, shown
from wasmdock.oci.image import Descriptor, Digest, Image, Index, Manifest, Platform, Reference
from wasmdock.oci.image_index import ImageIndex, images_of
from wasmdock.oci.incoming import Incoming
from wasmdock.oci.layout import FolderBlobs, load_index, usual_platforms
from wasmdock.oci.manifest import INDEXES, MANIFESTS, blobs_named
from wasmdock.oci.registry import Registry
from wasmdock.oci.registry_blobs import fetch_blob
from wasmdock.oci.registry_copy import DEPTH, Copying, listed, tree_below
from wasmdock.oci.registry_giving import Giving, Progress, Silence, in_parallel
from wasmdock.oci.store import Store, StoredImage


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
    whole: bool = False,
    progress: Progress | None = None,
) -> StoredImage:
    """Bring an image into the store: the one for the first of `platforms` (default: Wasm, then this machine's).

    whole: of several images all, with the index that lists them. Blobs the store has are not fetched. Raises
    RegistryError, ImageError, UnavailableError; the store then is as it was.
    """
    doing, progress = f'pulling "{reference}"', progress or Silence()
    with during(doing):
        top, data = registry.manifest(reference.repository, _wanted(reference), doing)
        if whole and top.media_type in INDEXES:
            return _pull_index(registry, reference, store, (top, data), doing, progress)
        manifest = _choose(registry, reference, (top, data), platforms, doing)
        parsed = Manifest.parse(manifest)
        with store.receive() as incoming:
            _fetch(registry, reference, [parsed.config], incoming, doing, progress, are_documents=True)
            _check_platform(parsed, incoming, platforms)
            _fetch(registry, reference, parsed.layers, incoming, doing, progress)
            with incoming.writing(Descriptor.of(parsed.media_type, manifest)) as file:
                file.write(manifest)
            image = Image.parse(manifest, incoming.read, opener=incoming.open)
            name = reference._replace(digest=image.digest if reference.digest else None)
            return store.adopt(incoming, image, name, top.digest if top.digest != image.digest else None)


def push(
    registry: Registry,
    reference: Reference,
    content: Image | ImageIndex,
    *,
    sources: Callable[[Digest], Sequence[str]] = lambda _: (),
    part_of: Digest | None = None,
    progress: Progress | None = None,
) -> Sent:
    """Give a registry an image, or an index with its images, under a name.

    part_of: an index that the image was pulled from; where the name holds it, it is not replaced by a part of it.

    The name is set when everything else is there, and no blob is sent that the registry has or can take from
    one of its other repositories (`sources`). Raises RegistryError, ImageError.
    """
    doing, progress = f'pushing "{reference}"', progress or Silence()
    data = content.data if isinstance(content, ImageIndex) else content.manifest
    name = reference.tag or str(content.digest)
    if reference.digest not in (None, content.digest):
        raise ImageError(f"{doing}: the image has the digest {content.digest}")
    blobs = {blob.digest: (blob, opened) for blob, opened in _blobs(content)}
    there = registry.digest(reference.repository, name, doing)
    if there == content.digest:
        return Sent(content.digest, 0, 0, len(blobs))
    if part_of and there == part_of:
        raise _would_lose(content, doing)
    give = Giving(registry, reference.repository, doing, sources, progress)
    in_parallel([lambda blob=blob, opened=opened: give(blob, opened) for blob, opened in blobs.values()])  # type: ignore[misc]  # mypy cannot type defaults of a lambda
    for descriptor, manifest in content.manifests if isinstance(content, ImageIndex) else ():
        registry.put_manifest(reference.repository, str(descriptor.digest), descriptor.media_type, manifest, doing)
    registry.put_manifest(reference.repository, name, content.descriptor.media_type, data, doing)
    return Sent(content.digest, give.sent, give.mounted, give.there)


def copy(
    source: Registry, origin: Reference, target: Registry, name: Reference, *, progress: Progress | None = None
) -> Sent:
    """Copy all that a name holds from registry to registry, byte for byte: every platform, and attestations.

    Each blob is verified before it is sent on. Raises RegistryError, ImageError, UnavailableError.
    """
    doing = f'copying "{origin}" to "{name}"'
    with during(doing):
        top, data = source.manifest(origin.repository, _wanted(origin), doing)
        if name.digest not in (None, top.digest):
            raise ImageError(f"what is to be copied has the digest {top.digest}")
        copying = Copying(source, origin.repository, target, name.repository, doing, progress or Silence())
        _, copied = copying.copy(top, data, name.tag or str(top.digest))
        return Sent(top.digest, copying.give.sent, copying.give.mounted, copying.give.there, copied)


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


def _choose(
    registry: Registry,
    reference: Reference,
    top: tuple[Descriptor, bytes],
    platforms: Sequence[Platform] | None,
    doing: str,
) -> bytes:
    """The manifest of one image, through indexes where need be."""
    entry, data = top
    for _ in range(DEPTH + 1):  # the image comes after the last index
        if entry.media_type in MANIFESTS:
            return data
        entries = Index.parse(data)
        try:
            chosen = entries.choose(platforms or usual_platforms())
        except ImageError as error:
            named = [each for each in entries.manifests if each.platform and not each.is_attestation]
            raise ImageError(error.message, "choose one of these with --platform" if named else "") from error
        entry, data = listed(registry, reference.repository, chosen, doing)
    raise ImageError(f"more than {DEPTH} indexes within each other")


def _pull_index(
    registry: Registry,
    reference: Reference,
    store: Store,
    top: tuple[Descriptor, bytes],
    doing: str,
    progress: Progress,
) -> StoredImage:
    """All the images of an index, and the attestations beside them."""
    for entry in Index.parse(top[1]).manifests:
        if entry.media_type in INDEXES:
            raise ImageError("it holds an index within an index", "wasmdock copy takes it to another registry")
    tree = tree_below(registry, reference.repository, *top, doing)
    blobs = [blob for _, manifest in tree for blob in blobs_named(manifest)]
    with store.receive() as incoming:
        _fetch(registry, reference, blobs, incoming, doing, progress)
        for descriptor, manifest in tree:
            with incoming.writing(descriptor) as file:
                file.write(manifest)
        return store.adopt(incoming, load_index(FolderBlobs(incoming.folder), top[1]), reference)


def _would_lose(image: Image | ImageIndex, doing: str) -> ImageError:
    platform = f" for {image.platform}" if isinstance(image, Image) else ""
    cause = f"the name holds several images there, of which only the one{platform} was pulled"
    hint = "wasmdock pull --all-platforms keeps all of them; --platform-only sends this one in their place"
    return ImageError(f"{doing}: {cause}", hint)


def _fetch(
    registry: Registry,
    reference: Reference,
    blobs: Sequence[Descriptor],
    incoming: Incoming,
    doing: str,
    progress: Progress,
    are_documents: bool = False,
) -> None:
    missing = [blob for blob in {blob.digest: blob for blob in blobs}.values() if not incoming.take(blob)]
    progress.expect(sum(blob.size for blob in missing))

    def fetch(blob: Descriptor) -> None:
        what = f'{doing}: fetching blob "sha256:{blob.digest.short}..."'
        with incoming.writing(blob) as file:
            fetch_blob(registry, reference.repository, blob, file, what, progress.moved, are_documents)

    in_parallel([lambda blob=blob: fetch(blob) for blob in missing])  # type: ignore[misc]  # as above


def _check_platform(manifest: Manifest, incoming: Incoming, platforms: Sequence[Platform] | None) -> None:
    """Refuse before the layers are fetched: a config that is none, an image for another platform."""
    fields = parse_object(incoming.read(manifest.config), f'config "{manifest.config.digest}"')
    found = Platform(fields.text("os", required=True), fields.text("architecture", required=True))
    if platforms and not any(found.matches(platform) for platform in platforms):
        names = " or ".join(map(str, platforms))
        raise ImageError(f'choosing an image for "{names}": there is only {shown(found)}')


def _blobs(content: Image | ImageIndex) -> Iterator[tuple[Descriptor, Callable[[], BinaryIO]]]:
    import io

    for image in images_of(content):
        yield image.config_descriptor, lambda config=image.config: io.BytesIO(config)  # type: ignore[misc]  # mypy cannot type defaults of a lambda
        for layer in image.layers:
            yield layer.descriptor, layer.open
    for attestation in content.attestations if isinstance(content, ImageIndex) else ():
        for blob in attestation.blobs:
            yield blob.descriptor, blob.open
