"""Manifests and all that is below them, from one repository to another, byte for byte."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from wasmdock.errors import ImageError, UnavailableError, cure_of
from wasmdock.oci.fields import DOCUMENT_CAP, shown
from wasmdock.oci.image import Descriptor, Digest, Index
from wasmdock.oci.manifest import INDEXES, MANIFESTS, blobs_named
from wasmdock.oci.registry import Registry
from wasmdock.oci.registry_blobs import fetch_blob
from wasmdock.oci.registry_giving import Giving, Progress, in_parallel
from wasmdock.oci.registry_http import Answer

DEPTH = 4  # index within index
_MANIFESTS_CAP = 1000  # manifests below one name
_TREE_CAP = 64 << 20  # bytes of them: they are held until their blobs are there


class Copying:
    """Copies from one repository to another; each blob passes through a nameless file, verified before it is sent."""

    def __init__(
        self, source: Registry, origin: str, target: Registry, repository: str, doing: str, progress: Progress
    ) -> None:
        """Keep from where to where. Within one registry blobs are mounted."""
        self._source, self._origin = source, origin
        self._target, self._repository = target, repository
        self._doing = doing
        others = (origin,) if source.name == target.name else ()
        self.give = Giving(target, repository, doing, lambda _: others, progress)

    def copy(self, top: Descriptor, data: bytes, name: str) -> tuple[Answer, tuple[Digest, ...]]:
        """Copy a manifest and all below it, under a tag or its digest; the registry's last answer, and what was copied.

        Raises RegistryError, ImageError, UnavailableError.
        """
        tree = tree_below(self._source, self._origin, top, data, self._doing)
        blobs = {blob.digest: blob for _, each in tree for blob in blobs_named(each)}
        in_parallel([lambda blob=blob: self._carry(blob) for blob in blobs.values()])  # type: ignore[misc]  # mypy cannot type defaults of a lambda
        for descriptor, each in tree[:-1]:
            self._put(descriptor, each, str(descriptor.digest))
        answer = self._put(top, data, name)
        return answer, tuple(descriptor.digest for descriptor, _ in tree)

    def _put(self, descriptor: Descriptor, data: bytes, name: str) -> Answer:
        return self._target.put_manifest(self._repository, name, descriptor.media_type, data, self._doing)

    def _carry(self, blob: Descriptor) -> None:
        if self.give.is_there(blob):
            return
        with _nameless(self._doing) as file:
            fetch_blob(self._source, self._origin, blob, file, self._doing)
            file.flush()
            self.give.send(blob, lambda: os.fdopen(os.dup(file.fileno()), "rb"))


@contextmanager
def _nameless(doing: str) -> Iterator[BinaryIO]:
    """A file that is gone with this process, however it ends."""
    import tempfile  # brings compression along, which a pull need not wait for

    try:
        with tempfile.TemporaryFile() as file:
            yield file
    except OSError as error:
        cause = f'{doing}: keeping a blob in "{tempfile.gettempdir()}": {error.strerror or error}'
        raise UnavailableError(cause, cure_of(error, "TMPDIR")) from error


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


def tree_below(
    source: Registry, repository: str, top: Descriptor, data: bytes, doing: str
) -> list[tuple[Descriptor, bytes]]:
    """Every manifest below a name, each once, children before parents. Raises ImageError for too many or too large."""
    found: dict[Digest, tuple[Descriptor, bytes]] = {}
    total = 0
    for count, (descriptor, each) in enumerate(_below(source, repository, top, data, doing)):
        if descriptor.digest not in found:
            total += len(each)
            found[descriptor.digest] = descriptor, each
        if count > _MANIFESTS_CAP:
            raise ImageError(f"more than {_MANIFESTS_CAP} manifests below one name")
        if total > _TREE_CAP:
            raise ImageError(f"the manifests below one name have more than the {_TREE_CAP} bytes allowed")
    return list(found.values())


def _below(
    source: Registry, repository: str, top: Descriptor, data: bytes, doing: str, depth: int = 0
) -> Iterator[tuple[Descriptor, bytes]]:
    if top.media_type in INDEXES:
        if depth >= DEPTH:
            raise ImageError(f"more than {DEPTH} indexes within each other")
        for entry in Index.parse(data).manifests:
            found, below = listed(source, repository, entry, doing)
            yield from _below(source, repository, found, below, doing, depth + 1)
    yield top, data
