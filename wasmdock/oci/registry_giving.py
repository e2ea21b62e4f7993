"""Blobs given to a registry: looked for there, mounted from its other repositories, sent, a few at a time."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import BinaryIO, Protocol

from wasmdock.errors import RegistryError
from wasmdock.oci.image import Descriptor, Digest
from wasmdock.oci.registry import Registry
from wasmdock.oci.registry_blobs import send_blob
from wasmdock.oci.registry_http import Answer

_WIDTH = 4  # blobs at a time
_SOURCES = 3  # repositories that are asked to give a blob away


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
        self._begun: dict[Digest, Answer] = {}
        self._lock = threading.Lock()

    def __call__(self, blob: Descriptor, opened: Callable[[], BinaryIO]) -> None:
        """Give one blob, unless it is there or comes from elsewhere."""
        if not self.is_there(blob):
            self.send(blob, opened)

    def is_there(self, blob: Descriptor) -> bool:
        """Whether the registry has the blob, or takes it from one of its other repositories."""
        if self._registry.has_blob(self._repository, blob.digest, self._doing):
            with self._lock:
                self.there += 1
            return True
        others = [each for each in self._sources(blob.digest) if each != self._repository]
        return any(self._mount(blob, other) for other in others[:_SOURCES])

    def send(self, blob: Descriptor, opened: Callable[[], BinaryIO]) -> None:
        """Send one blob."""
        self._progress.expect(blob.size)
        what = f'{self._doing}: sending blob "sha256:{blob.digest.short}..."'
        with self._lock:
            begun = self._begun.pop(blob.digest, None)
        send_blob(self._registry, self._repository, blob, opened, what, self._progress.moved, begun)
        with self._lock:
            self.sent += 1

    def _mount(self, blob: Descriptor, other: str) -> bool:
        """Whether the registry took the blob from there: where it may not, or begins an upload, it is sent."""
        if blob.digest in self._begun:
            return False
        with suppress(RegistryError):
            answer = self._registry.mount(self._repository, self._doing, blob.digest, other)
            answer.drain()
            with self._lock:
                if answer.status == 201:
                    self.mounted += 1
                    return True
                if answer.headers.get("Location"):  # an upload that is left lying takes the registry's room
                    self._begun[blob.digest] = answer
        return False


def in_parallel(jobs: Sequence[Callable[[], None]]) -> None:
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
