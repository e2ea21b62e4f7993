"""A layer's bytes, compressed or not -> the bytes of its tar stream, piece by piece, under a cap."""

import zlib
from collections.abc import Iterator

from wasmdock.errors import ImageError

UNPACKED_CAP = 256 << 20  # bytes of one layer's tar stream that are looked at
_PIECE = 64 << 10
_MEMBERS_CAP = 100_000  # gzip members in one layer; eStargz makes one for each file


def unpack(data: bytes, what: str, cap: int = UNPACKED_CAP) -> Iterator[bytes]:
    """Yield what gzip or plain bytes hold, told apart by their first bytes as containerd does.

    Raises ImageError past `cap` bytes, for damaged gzip and for zstd, which Python's library cannot read.
    """
    total = 0
    for piece in _pieces(data, what):
        total += len(piece)
        if total > cap:
            raise ImageError(f"unpacking {what}: it grows beyond the {cap} bytes allowed")
        yield piece


def _pieces(data: bytes, what: str) -> Iterator[bytes]:
    if data.startswith(b"\x1f\x8b"):
        return _gunzip(data, what)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        raise ImageError(
            f"unpacking {what}: it is compressed with zstd, which is not supported",
            "build it with gzip: docker buildx build --output type=docker,compression=gzip",
        )
    return (data[start : start + _PIECE] for start in range(0, len(data), _PIECE))


def _gunzip(data: bytes, what: str) -> Iterator[bytes]:
    """One gzip member after the other; zero bytes may follow the last one (RFC 1952, gzip(1))."""
    start = 0
    for _ in range(_MEMBERS_CAP):
        stream = zlib.decompressobj(wbits=31)
        try:
            while not stream.eof:
                piece = stream.unconsumed_tail
                if not piece:
                    piece = data[start : start + _PIECE]
                    start += len(piece)
                unpacked = stream.decompress(piece, _PIECE)
                if not piece and not unpacked:  # zlib may hold output back after the last input
                    raise ImageError(f"unpacking {what}: its gzip data is cut short")
                yield unpacked
        except zlib.error as error:
            raise ImageError(f"unpacking {what}: its gzip data is damaged ({error})") from error
        start -= len(stream.unused_data)
        if not data[start : start + _PIECE].strip(b"\0"):
            return
    raise ImageError(f"unpacking {what}: more than {_MEMBERS_CAP} gzip members")


def gzip_bytes(data: bytes) -> bytes:
    """Gzip at level 9 with nothing in the header that varies: no time, no name, the system unknown (255)."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = deflate.compress(data) + deflate.flush()
    trailer = zlib.crc32(data).to_bytes(4, "little") + (len(data) & 0xFFFFFFFF).to_bytes(4, "little")
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff" + body + trailer
