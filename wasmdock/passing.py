"""One output of another program, passed on to a descriptor of ours."""

import os
import re
import select
import threading
from collections.abc import Callable
from typing import IO

from wasmdock.ready import is_readable

_CHUNK = 1 << 16
_LAST_WORDS = 0.3
_HELD_TIME, _HELD_BYTES = 0.5, 64 << 10  # what is held back is passed on after so many seconds, or at so many bytes


class Passing:
    """A stream passed on: its end kept, at most `cap` bytes passed on, and what may be a last word held back."""

    def __init__(
        self,
        target: int,
        cap: int | None = None,
        on_overflow: Callable[[], None] | None = None,
        *,
        keep: int = 0,
        hold: tuple[str, ...] = (),
    ) -> None:
        """Keep where to; cap and keep are bytes, hold the beginnings of lines that may be a last word."""
        self.tail, self.withheld = bytearray(), bytearray()
        self.overflowed = False
        self._passed, self._is_passing, self._is_unread = 0, False, False
        self._target, self._room, self._keep, self._on_overflow = target, cap, keep, on_overflow
        self._words = tuple(word.encode() for word in hold)
        self._word = re.compile(b"^(?:" + b"|".join(map(re.escape, self._words)) + b")", re.MULTILINE)
        self._at_line_start, self._last = True, b"\n"

    def run(self, stream: IO[bytes]) -> None:
        """Pass on until the stream ends, or nobody reads what is passed on: its writer is to notice that, too."""
        with stream:
            while not self._is_unread and (chunk := self._read(stream)):
                if self._keep:
                    self.tail.extend(chunk)
                    del self.tail[: -self._keep]
                self._take(chunk)

    def last_words(self, thread: threading.Thread, hurry: bool) -> None:
        """Once the program has ended: wait for what it left, as long as that is being passed on.

        Not for an end of its pipe that something it started holds, and not for a slow reader in a `hurry`.
        """
        while thread.is_alive():
            passed = self._passed
            thread.join(_LAST_WORDS)
            if hurry or (self._passed == passed and not self._is_passing):
                return

    def _read(self, stream: IO[bytes]) -> bytes:
        if self.withheld and not is_readable(stream, _HELD_TIME):
            self._release()  # whoever said it goes on: it was no last word
        return stream.read(_CHUNK)

    def _take(self, chunk: bytes) -> None:
        if self.withheld:
            self.withheld.extend(chunk)
        else:
            start = self._find_word(chunk)
            self._write(chunk[:start])
            self._at_line_start = chunk.endswith(b"\n")
            self.withheld.extend(chunk[start:])
        if self.withheld and (len(self.withheld) > _HELD_BYTES or not self._may_be_word()):
            self._release()

    def _find_word(self, chunk: bytes) -> int:
        """Where the first line begins that may be a last word, if only the beginning of one has come."""
        if not self._words:
            return len(chunk)
        for found in self._word.finditer(chunk):
            if found.start() or self._at_line_start:
                return found.start()
        line = chunk.rfind(b"\n") + 1
        whole = line > 0 or self._at_line_start
        return line if whole and any(word.startswith(chunk[line:]) for word in self._words) else len(chunk)

    def _may_be_word(self) -> bool:
        held = bytes(self.withheld[:64])
        return any(held.startswith(word) or word.startswith(held) for word in self._words)

    def _release(self) -> None:
        held = bytes(self.withheld)
        self.withheld.clear()
        self._at_line_start = held.endswith(b"\n")
        self._write(held)

    def _write(self, chunk: bytes) -> None:
        """Pass on what there is room for; the rest is dropped, so that nobody is held up."""
        passed = chunk if self._room is None else chunk[: self._room]
        if self._room is not None:
            self._room -= len(passed)
        self._is_passing = True
        self._is_unread = not write_all(self._target, passed)
        self._last = passed[-1:] or self._last
        self._passed, self._is_passing = self._passed + len(passed), False
        if len(passed) < len(chunk) and not self.overflowed:
            self.overflowed = True
            end_line(self._target, self._last)
            if self._on_overflow:
                self._on_overflow()


def write_all(target: int, data: bytes) -> bool:
    """Write to a descriptor of ours; False where nobody reads it. What cannot be written for another cause is lost."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(target, rest) :]
    except OSError as error:
        return not isinstance(error, BrokenPipeError)
    return True


def end_line(target: int, last: bytes) -> None:
    """Start a new line for our own words, where the `last` byte passed on to a descriptor stands on the same one."""
    if last != b"\n" and (target == 2 or os.path.sameopenfile(1, 2)):
        write_all(2, b"\n")


def is_unread(target: int) -> bool:
    """Whether a descriptor of ours is a pipe that nobody reads any more."""
    poll = select.poll()
    poll.register(target, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
