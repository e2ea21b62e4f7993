"""Blobs between a registry and this machine: verified as they stream, resumed where the connection was cut."""

from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

from wasmdock.digits import read_digits
from wasmdock.errors import RegistryError
from wasmdock.oci.fields import shown
from wasmdock.oci.image import Descriptor
from wasmdock.oci.registry import Registry
from wasmdock.oci.registry_answers import Bearing, check_stored
from wasmdock.oci.registry_http import CONNECTION, PIECE, Answer
from wasmdock.oci.summing import Summing

SMALL = 1 << 20  # bytes; blobs up to this size are sent in one request
CHUNK = 128 << 20  # bytes of one request of a larger upload: a registry flushes its disk at the end of each
_LITTLE = 16 << 20  # bytes of one request where a proxy finds that too much (413)
_WORTH = 1 << 20  # bytes that must come between two cuts for the count of tries to begin anew
_OCTETS = {"Content-Type": "application/octet-stream"}

Moved = Callable[[int], None]  # told of bytes as they move


class Sink(Protocol):
    """Where a blob goes: a file opened for writing."""

    def write(self, data: memoryview, /) -> object:
        """Take the next bytes."""

    def seek(self, offset: int, /) -> object:
        """Begin anew."""

    def truncate(self, size: int, /) -> object:
        """Forget what was written."""


def fetch_blob(
    registry: Registry,
    repository: str,
    descriptor: Descriptor,
    sink: Sink,
    doing: str,
    moved: Moved = lambda _: None,
    is_document: bool = False,
) -> None:
    """Stream a blob into `sink`, its size and digest checked. Raises RegistryError; what is in sink is then void.

    is_document: it must come within a document's time, however large it says it is.
    """
    progress, bearing = _Progress(descriptor, sink, moved, is_document), registry.bearing()
    failures, since = 0, 0
    try:
        while True:
            try:
                with registry.redacting():
                    answer = registry.open_blob(repository, descriptor.digest, doing, progress.start)
                    progress.take(answer, doing)
                break
            except RegistryError as error:
                if progress.done - since >= _WORTH:
                    failures, since = 0, progress.done
                    bearing.renew()
                else:
                    failures += 1
                if not bearing.takes(error) or failures >= registry.tries:
                    raise
                registry.pause(error, failures)
        progress.check(doing)
    finally:
        progress.end()


class _Progress:
    """How much of a blob has come, over several connections."""

    def __init__(self, descriptor: Descriptor, sink: Sink, moved: Moved, is_document: bool) -> None:
        self.done = 0
        self._is_document = is_document
        self._descriptor = descriptor
        self._sink = sink
        self._moved = moved
        self._summed = Summing(descriptor.size)

    @property
    def start(self) -> int:
        """From where on to ask; all of it again where only the answer's end was cut: no range begins there."""
        return self.done if self.done < self._descriptor.size else 0

    def take(self, answer: Answer, doing: str) -> None:
        self._begin(answer, doing)
        size = self._descriptor.size
        for piece in answer.pieces(size - self.done, self._is_document):
            self._summed.update(piece)
            self._sink.write(piece)
            self.done += len(piece)
            self._moved(len(piece))
        if self.done < size:
            cause = f"it ended after {self.done} of {size} bytes"
            raise RegistryError(f"{doing}: {cause}", "", answer.status, CONNECTION)

    def check(self, doing: str) -> None:
        found = self._summed.hexdigest()
        if found != self._descriptor.digest.hex:
            cause = f"its content has the digest sha256:{found}"
            raise RegistryError(f"{doing}: {cause}", "the registry or something on the way is damaged")

    def end(self) -> None:
        self._summed.drop()

    def _begin(self, answer: Answer, doing: str) -> None:
        if answer.status == 200 and self.done:  # the registry knows no ranges: all of it again
            self._moved(-self.done)
            self._sink.seek(0)
            self._sink.truncate(0)
            self._summed.drop()
            self.done, self._summed = 0, Summing(self._descriptor.size)
        if answer.status == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {self.done}-"):
            answer.close()
            found = shown(answer.headers.get("Content-Range", "nothing"), 40)
            raise RegistryError(f"{doing}: bytes from {self.done} on were asked for, {found} came", "", 206)
        said, rest = answer.headers.get("Content-Length", ""), self._descriptor.size - self.done
        if said and read_digits(said) != rest:
            answer.close()
            raise RegistryError(f"{doing}: the registry has {shown(said, 20)} bytes instead of {rest}", "", 200)


def send_blob(
    registry: Registry,
    repository: str,
    descriptor: Descriptor,
    opened: Callable[[], BinaryIO],
    doing: str,
    moved: Moved = lambda _: None,
    begun: Answer | None = None,
) -> None:
    """Give a registry a blob it lacks. A cut upload is resumed where the registry says it stands, or begun anew.

    begun: an upload it offered already. Raises RegistryError.
    """
    failures, best, bearing = 0, 0, registry.bearing()
    while True:
        upload = _Upload(registry, repository, descriptor, opened, doing, moved, bearing)
        try:
            with registry.redacting():
                upload.run(begun)
            return
        except RegistryError as error:
            begun = None
            moved(-upload.offset)
            failures, best = (1, upload.offset) if upload.offset >= best + _WORTH else (failures + 1, best)
            if not (bearing.takes(error) or error.status in (404, 416)) or failures >= registry.tries:
                raise
            registry.pause(error, failures)


class _Upload:
    """One upload session: POST, then PUT for small blobs, PATCH by chunks and an empty PUT for large ones."""

    def __init__(
        self,
        registry: Registry,
        repository: str,
        descriptor: Descriptor,
        opened: Callable[[], BinaryIO],
        doing: str,
        moved: Moved,
        bearing: Bearing,
    ) -> None:
        self.offset = 0
        self._registry = registry
        self._repository = repository
        self._descriptor = descriptor
        self._open = opened
        self._doing = doing
        self._moved = moved
        self._bearing = bearing
        self._place = ""
        self._chunk = CHUNK
        self._failures = self._since = 0

    def run(self, begun: Answer | None) -> None:
        answer = begun or self._registry.start_upload(self._repository, self._doing)
        answer.drain()
        if answer.status == 201:  # some registries look for the blob by themselves
            return
        self._go_on(answer)
        self._chunk = max(CHUNK, read_digits(answer.headers.get("OCI-Chunk-Min-Length", "")) or 0)
        if self._descriptor.size > SMALL:
            while self.offset < self._descriptor.size:
                self._send_chunk()
            self._finish(0)
        else:
            self._finish(self._descriptor.size)

    def _send_chunk(self) -> None:
        start = self.offset
        end = min(start + self._chunk, self._descriptor.size)
        headers = {**_OCTETS, "Content-Range": f"{start}-{end - 1}", "Content-Length": str(end - start)}
        try:
            answer = self._send("PATCH", self._place, headers, start, end, 202)
        except RegistryError as error:
            if error.status == 413 and self._chunk > _LITTLE and end - start > _LITTLE:
                self._chunk = _LITTLE
                return
            if not self._bearing.takes(error) and error.status != 416:
                raise
            self._ask_where(error)
            return
        self._moved_to(end)
        self._go_on(answer)

    def _ask_where(self, error: RegistryError) -> None:
        """After a cut: how much the registry has. Raises the error where it has forgotten, or nothing new."""
        self._registry.pause(error, 0)
        try:
            answer = self._registry.send("GET", self._place, self._repository, self._doing, {}, None, 204, 202)
            answer.drain()
        except RegistryError:
            raise error from None
        first, _, last = answer.headers.get("Range", "").removeprefix("bytes=").partition("-")
        end = read_digits(last)
        if end is None:
            raise error
        stands = end + 1 if end else 0  # `0-0` is also what an empty upload answers
        if first != "0" or stands > self._descriptor.size:
            cause = f"the registry says it has {stands} of {self._descriptor.size} bytes"
            raise RegistryError(f"{self._doing}: {cause}", "", answer.status) from error
        if stands - self._since >= _WORTH:
            self._failures, self._since = 0, stands
            self._bearing.renew()
        else:
            self._failures += 1
        if stands < self.offset or self._failures >= self._registry.tries:
            raise error
        self._moved_to(stands)
        if answer.headers.get("Location"):
            self._go_on(answer)

    def _finish(self, size: int) -> None:
        joint = "&" if "?" in self._place else "?"
        url = f"{self._place}{joint}digest={self._descriptor.digest}"
        answer = self._send("PUT", url, {**_OCTETS, "Content-Length": str(size)}, 0, size, 201, 204)
        check_stored(answer, self._descriptor.digest)
        self._moved_to(self._descriptor.size)

    def _send(self, method: str, url: str, headers: dict[str, str], start: int, end: int, *expect: int) -> Answer:
        def body() -> Iterator[bytes]:
            return self._read(start, end)

        content = body if end > start else b""
        answer = self._registry.send(method, url, self._repository, self._doing, headers, content, *expect)
        answer.drain()
        return answer

    def _read(self, start: int, end: int) -> Iterator[bytes]:
        with self._open() as file:
            file.seek(start)
            while start < end and (piece := file.read(min(PIECE, end - start))):
                start += len(piece)
                yield piece

    def _moved_to(self, offset: int) -> None:
        self._moved(offset - self.offset)
        self.offset = offset

    def _go_on(self, answer: Answer) -> None:
        self._place = self._registry.resolve(answer, self._doing)
