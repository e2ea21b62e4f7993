"""The SHA-256 of what comes piece by piece; of much, in a thread of its own: while one is summed, the next comes."""

import hashlib
import queue
import threading

_WORTH_A_THREAD = 16 << 20  # bytes; hashlib lets go of the interpreter, so that a second core has the work


class Summing:
    """A digest on its way. A piece handed in must stay as it is until the next call here."""

    def __init__(self, size: int) -> None:
        """Expect so many bytes. A thread that this starts ends with `hexdigest` or `drop`."""
        self._summed = hashlib.sha256()
        self._pieces: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        if size >= _WORTH_A_THREAD:
            self._thread = threading.Thread(target=self._work, name="wasmdock-sum", daemon=True)
            self._thread.start()
            self._done.put(None)

    def update(self, piece: memoryview) -> None:
        """Take the next piece, once the one before is summed."""
        if self._thread is None:
            self._summed.update(piece)
            return
        self._done.get()
        self._pieces.put(piece)

    def hexdigest(self) -> str:
        """The digest of all that came."""
        self.drop()
        return self._summed.hexdigest()

    def drop(self) -> None:
        """End the thread, once what it has is summed."""
        if self._thread is not None:
            self._pieces.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        while (piece := self._pieces.get()) is not None:
            self._summed.update(piece)
            self._done.put(None)
