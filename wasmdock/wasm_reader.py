"""A cursor over the bytes of a Wasm binary: numbers, names and sections, each fault with its offset."""

from collections.abc import Iterator

from wasmdock.errors import GuestError

CUT_SHORT = "copy or build the file again: only its beginning is there"


class UnknownCodeError(GuestError):
    """A byte that should say what follows is none we know, so the rest of its section cannot be read."""


class Reader:
    """Reads `data` from `pos` up to `end`; anything unsound raises GuestError and nothing else."""

    __slots__ = ("data", "end", "pos")

    def __init__(self, data: bytes, pos: int = 0, end: int | None = None) -> None:
        """Start at `pos`; `end` is the first byte that may not be read (default: the end of the data)."""
        self.data = data
        self.pos = pos
        self.end = len(data) if end is None else end

    def fault(self, what: str, at: int | None = None) -> GuestError:
        """The error to raise for something unsound at offset `at` (default: here)."""
        return GuestError(f"not a sound Wasm binary: {what} at offset {self.pos if at is None else at:#x}")

    def unknown(self, code: int, what: str, width: int = 1) -> UnknownCodeError:
        """The error to raise for a code byte, just read, that names no known `what`."""
        return UnknownCodeError(
            f"not a sound Wasm binary: {code:#04x} is no known {what} at offset {self.pos - width:#x}"
        )

    def byte(self) -> int:
        """The next byte."""
        pos = self.pos
        if pos >= self.end:
            raise self.fault("it ends too early")
        self.pos = pos + 1
        return self.data[pos]

    def peek(self) -> int:
        """The next byte, left where it is."""
        if self.pos >= self.end:
            raise self.fault("it ends too early")
        return self.data[self.pos]

    def skip(self, size: int) -> int:
        """Pass over `size` bytes; the offset where they began."""
        start = self.pos
        if size > self.end - start:
            raise self.fault(f"{size} bytes are promised and {self.end - start} are left")
        self.pos = start + size
        return start

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        start = self.skip(size)
        return self.data[start : self.pos]

    def _unsigned(self, bits: int) -> int:
        start, result, shift = self.pos, 0, 0
        while True:
            byte = self.byte()
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift >= bits:
                raise self.fault(f"a number takes more than {-(-bits // 7)} bytes", start)
        if result >> bits:
            raise self.fault(f"a number does not fit {bits} bits", start)
        return result

    def u32(self) -> int:
        """An unsigned 32-bit number (LEB128)."""
        pos = self.pos
        if pos < self.end and self.data[pos] < 0x80:
            self.pos = pos + 1
            return self.data[pos]
        return self._unsigned(32)

    def u64(self) -> int:
        """An unsigned 64-bit number (LEB128)."""
        return self._unsigned(64)

    def signed(self, bits: int) -> int:
        """A signed number (LEB128) of 32, 33 or 64 bits."""
        start, result, shift = self.pos, 0, 0
        while True:
            byte = self.byte()
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift >= bits:
                raise self.fault(f"a number takes more than {-(-bits // 7)} bytes", start)
        if byte & 0x40:
            result -= 1 << shift
        if not -(1 << (bits - 1)) <= result < 1 << (bits - 1):
            raise self.fault(f"a number does not fit {bits} bits", start)
        return result

    def count(self, what: str) -> int:
        """How many entries follow; each takes a byte or more, so no count can pass the bytes left."""
        start = self.pos
        count = self.u32()
        if count > self.end - self.pos:
            raise self.fault(f"{count} {what} are promised and {self.end - self.pos} bytes are left", start)
        return count

    def name(self) -> str:
        """A name: its length in bytes, then UTF-8."""
        start = self.skip(self.u32())
        try:
            return self.data[start : self.pos].decode("utf-8")
        except UnicodeDecodeError:
            raise self.fault("a name is not UTF-8", start) from None

    def within(self, start: int, end: int) -> "Reader":
        """A reader for the part of the same data from `start` to `end`; offsets stay those of the file."""
        return Reader(self.data, start, end)

    def sections(self, known: int) -> Iterator[tuple[int, int, "Reader"]]:
        """Every section: (id, bytes it takes in the file, header included, reader of its contents)."""
        while self.pos < self.end:
            begin = self.pos
            section = self.byte()
            if section > known:
                raise self.fault(f"{section} is no known section", begin)
            size = self.u32()
            if size > self.end - self.pos:
                promise = f"a section promises {size} bytes and {self.end - self.pos} are left"
                if self.end < len(self.data):  # of a part of the file, which goes on
                    raise self.fault(promise, begin)
                raise GuestError(self.fault(f"it is cut short: {promise}", begin).message, CUT_SHORT)
            start = self.skip(size)
            yield section, self.pos - begin, self.within(start, self.pos)

    def finish(self, what: str) -> None:
        """Refuse bytes left over after the last entry."""
        if self.pos != self.end:
            raise self.fault(f"{self.end - self.pos} bytes are left over after the {what}")
