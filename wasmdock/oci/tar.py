"""A tar stream -> its members, without unpacking anything.

The standard library's tarfile is not used for reading: it recurses on chained headers (RecursionError on
a long name), and importing it takes longer than all of `Store.get`. Formats: POSIX ustar and pax, GNU and
V7 tar, as in POSIX.1-2017 "pax" and the GNU tar manual.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO, NamedTuple, Protocol

from wasmdock.errors import ImageError
from wasmdock.oci.fields import shown

BLOCK = 512
_HEADER_CAP = 1 << 20  # bytes of one pax or long-name header
_LINES_CAP = 1_000_000  # in the extended headers of one tar, a second's reading; real ones have some ten each
_SIZE_CAP = 1 << 40  # bytes of one member: 1 TiB
_NAME_CAP = 4096  # bytes of a path, as Linux has it; what looks at each folder above takes the square of it
_FILE = "file"
_KINDS = {
    b"0": _FILE,
    b"\0": _FILE,
    b"7": _FILE,
    b"1": "hard link",
    b"2": "symbolic link",
    b"3": "character device",
    b"4": "block device",
    b"5": "directory",
    b"6": "named pipe",
    b"S": "sparse file",
}
_SPARSE = b"GNU.sparse."
_PAX_KEYS = (b"path", b"linkpath", b"size", b"GNU.sparse.name")
_WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")


class Source(Protocol):
    """Bytes read once from the front: a stream or a file."""

    @property
    def position(self) -> int:
        """How many bytes were read or skipped."""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, fewer only at the end."""

    def skip(self, size: int) -> bool:
        """Pass over bytes; False when there were not that many."""


class PieceSource:
    """A Source over pieces of bytes, such as `unpack` yields."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        """Take the pieces one by one, as they are needed."""
        self._pieces = iter(pieces)
        self._piece = b""
        self._start = 0
        self.position = 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, fewer only at the end."""
        found = []
        while size and (part := self._take(size)):
            found.append(part)
            size -= len(part)
        return b"".join(found)

    def skip(self, size: int) -> bool:
        """Pass over bytes; False when there were not that many."""
        while size and (part := self._take(size)):
            size -= len(part)
        return not size

    def _take(self, size: int) -> bytes:
        while self._start == len(self._piece):
            following = next(self._pieces, None)
            if following is None:
                return b""
            self._piece, self._start = following, 0
        part = self._piece[self._start : self._start + size]
        self._start += len(part)
        self.position += len(part)
        return part


class FileSource:
    """A Source over a file that can seek."""

    def __init__(self, file: BinaryIO) -> None:
        """Start at the file's front."""
        self._file = file
        self._length = file.seek(0, 2)
        self.position = 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, fewer only at the end."""
        self._file.seek(self.position)
        found = self._file.read(size)
        self.position += len(found)
        return found

    def skip(self, size: int) -> bool:
        """Pass over bytes; False when there were not that many."""
        self.position += size
        return self.position <= self._length


class Member(NamedTuple):
    """One entry of a tar: its name with single slashes and none at the ends, its kind, and where its data is.

    link is the target as written, for links only; size and offset are bytes, offset counted from the front.
    """

    name: str
    kind: str
    size: int
    offset: int
    link: str = ""

    @property
    def is_file(self) -> bool:
        """Whether it is an ordinary file."""
        return self.kind == _FILE


def members(source: Source, what: str) -> Iterator[Member]:
    """Yield the members in order, `source` standing at each one's data; what is left of it is skipped.

    Raises ImageError for a damaged or truncated tar and for names that lead out of it (`..`).
    """
    extras: dict[str, str] = {}
    extended, lines = False, 0
    while header := source.read(BLOCK):
        if len(header) < BLOCK:
            raise _damaged(what, "it ends in the middle of a header")
        if not any(header):
            return
        _check_sum(header, what)
        kind, size = header[156:157], _number(header[124:136], what)
        if kind in (b"x", b"L", b"K", b"g"):
            data = _header_data(source, size, what)
            lines += data.count(b"\n")
            if lines > _LINES_CAP:
                raise _damaged(what, f"its extended headers have more than {_LINES_CAP} lines")
            extras |= _extended(kind, data, what)
            extended = True
            continue
        member = _member(source, header, extras, what)
        extras, extended = {}, False
        yield member
        end = member.offset + -(-member.size // BLOCK) * BLOCK
        if not source.skip(end - source.position):
            raise _damaged(what, f'it ends within "{shown(member.name)}"')
    if extended:
        raise _damaged(what, "it ends after an extended header")


def clean_name(name: str, what: str) -> str:
    """A path inside an image with single slashes and none at the ends. Raises ImageError for `..` and long ones."""
    if len(name) > _NAME_CAP or len(name.encode("utf-8", "surrogatepass")) > _NAME_CAP:
        raise ImageError(f'reading {what}: the name "{shown(name)}" has more than the {_NAME_CAP} bytes allowed')
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ImageError(f'reading {what}: the name "{shown(name)}" leads out of the image')
    return "/".join(parts)


def _member(source: Source, header: bytes, extras: Mapping[str, str], what: str) -> Member:
    code = header[156:157]
    kind = _KINDS.get(code, f"entry of unknown type {code!r}")
    name, link = _name(header), _text(header[157:257])
    size = _number(header[124:136], what)
    if code == b"S" and header[482]:
        _skip_sparse_map(source, what)
    if "size" in extras:
        size = _decimal(extras["size"], what)
    if any(key.startswith("GNU.sparse.") for key in extras):
        kind = "sparse file"
    name = extras.get("GNU.sparse.name") or extras.get("path") or name
    if kind == _FILE and name.endswith("/"):  # V7 tar had no type for directories
        kind, size = "directory", 0
    if code in _WITHOUT_DATA:
        size = 0
    link = extras.get("linkpath", link) if "link" in kind else ""
    return Member(clean_name(name, what), kind, size, source.position, link)


def _name(header: bytes) -> str:
    name = _text(header[:100])
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _number(field: bytes, what: str) -> int:
    """Octal digits, or base 256 where the first bit is set (GNU tar, for large and negative values)."""
    if field[0] == 0xFF:
        value = int.from_bytes(field, "big", signed=True)
    elif field[0] & 0x80:
        value = int.from_bytes(field[1:], "big")
    else:
        digits = field.strip(b" \0")
        if digits.strip(b"01234567"):
            raise _damaged(what, f"a header holds {digits[:12]!r} for a number")
        value = int(digits or b"0", 8)
    return _bounded(value, what)


def _decimal(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise _damaged(what, f'"{shown(text, 30)}" is not a size')
    return _bounded(int(text), what)


def _bounded(value: int, what: str) -> int:
    if not 0 <= value <= _SIZE_CAP:
        raise _damaged(what, "a member's size is negative or beyond reason")
    return value


def _check_sum(header: bytes, what: str) -> None:
    expected = _number(header[148:156], what)
    if expected != sum(header) - sum(header[148:156]) + 8 * 0x20:
        raise _damaged(what, "a header's checksum is wrong, or it is no tar at all")


def _header_data(source: Source, size: int, what: str) -> bytes:
    if size > _HEADER_CAP:
        raise _damaged(what, f"an extended header has {size} bytes, more than the {_HEADER_CAP} allowed")
    data = source.read(size)
    if len(data) < size or not source.skip(-size % BLOCK):
        raise _damaged(what, "it ends within an extended header")
    return data


def _extended(kind: bytes, data: bytes, what: str) -> dict[str, str]:
    """What an extended header says of the next member; a global one (`g`) says nothing we read."""
    if kind == b"L":
        return {"path": _text(data)}
    if kind == b"K":
        return {"linkpath": _text(data)}
    return _pax(data, what) if kind == b"x" else {}


def _pax(data: bytes, what: str) -> dict[str, str]:
    """Records `<length> <key>=<value>\\n`, the length counting itself; only the keys that are read are kept."""
    found = {}
    start = 0
    while start < len(data):
        space = data.find(b" ", start, start + 12)
        digits = data[start:space] if space > 0 else b""
        length = int(digits) if digits.isdigit() else 0
        end = start + length
        if end > len(data) or length <= len(digits) + 2 or data[end - 1 : end] != b"\n":
            raise _damaged(what, "a pax header is malformed")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or (b"\0" in value and key in (b"path", b"linkpath", b"GNU.sparse.name")):
            raise _damaged(what, "a pax header is malformed")
        if key in _PAX_KEYS:
            found[key.decode()] = value.decode("utf-8", "surrogateescape")
        elif key.startswith(_SPARSE):
            found[_SPARSE.decode()] = ""
        start = end
    return found


def _skip_sparse_map(source: Source, what: str) -> None:
    while True:
        block = source.read(BLOCK)
        if len(block) < BLOCK:
            raise _damaged(what, "it ends within a sparse file's map")
        if not block[504]:
            return


def _damaged(what: str, cause: str) -> ImageError:
    return ImageError(f"reading {what}: the tar is damaged: {cause}")
