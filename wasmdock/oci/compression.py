"""A layer's bytes, compressed or not -> the bytes of its tar stream, piece by piece, under a cap."""

import zlib
from collections.abc import Callable, Iterator
from typing import Any

from wasmdock.errors import ImageError

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"  # how such data begins
UNPACKED_CAP = 512 << 20  # bytes of one layer's tar stream that are looked at
_PIECE = 64 << 10
_SLICE = 1 << 20  # bytes compressed at once
_FRAMES_CAP = 100_000  # gzip members or zstd frames in one layer; eStargz makes one for each file
# Bytes unpacked at once, so that a bomb becomes at most some 32 MB before the cap is asked: deflate makes at most 1032
# of one byte, zstd 128 KiB of four.
_GZIP_SLICE, _ZSTD_SLICE = 16 << 10, 1 << 10
_ZSTD_WINDOW = 128 << 20  # bytes of memory that a zstd frame may ask for: what `zstd --long` does


def unpack(data: bytes, what: str, cap: int = UNPACKED_CAP) -> Iterator[bytes]:
    """Yield what gzip, zstd or plain bytes hold, told apart by their first bytes as containerd does.

    Raises ImageError past `cap` bytes, and for damaged data.
    """
    total = 0
    for piece in _pieces(data, what):
        total += len(piece)
        if total > cap:
            raise ImageError(f"unpacking {what}: it grows beyond the {cap} bytes allowed")
        yield piece


def _pieces(data: bytes, what: str) -> Iterator[bytes]:
    if data.startswith(GZIP):
        doing = f"unpacking {what}: its gzip data"
        return _frames(data, doing, lambda: zlib.decompressobj(wbits=31), _GZIP_SLICE, zlib.error)
    if data.startswith(ZSTD):
        import zstandard  # only where it is needed: few images have it

        def begin() -> Any:
            return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()

        return _frames(data, f"unpacking {what}: its zstd data", begin, _ZSTD_SLICE, zstandard.ZstdError)
    return (data[start : start + _PIECE] for start in range(0, len(data), _PIECE))


def _frames(data: bytes, doing: str, begin: Callable[[], Any], size: int, damaged: type[Exception]) -> Iterator[bytes]:
    """One gzip member or zstd frame after the other; zero bytes may follow the last one (RFC 1952, gzip(1))."""
    start = 0
    for _ in range(_FRAMES_CAP):
        stream = begin()
        while not stream.eof:
            piece = data[start : start + size]
            if not piece:
                raise ImageError(f"{doing} is cut short")
            start += len(piece)
            try:
                unpacked = stream.decompress(piece)
            except damaged as error:
                raise ImageError(f"{doing} is damaged ({error})") from error
            yield unpacked
        start -= len(stream.unused_data)
        if not data[start : start + _PIECE].strip(b"\0"):
            return
    raise ImageError(f"{doing} has more than {_FRAMES_CAP} parts")


def gzip_bytes(data: bytes) -> bytes:
    """Gzip at level 9 with nothing in the header that varies: no time, no name, the system unknown (255)."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    view = memoryview(data)  # in slices, between which a signal is heard: the bytes are the same
    pieces = [deflate.compress(view[start : start + _SLICE]) for start in range(0, len(data), _SLICE)]
    body = b"".join((*pieces, deflate.flush()))
    trailer = zlib.crc32(data).to_bytes(4, "little") + (len(data) & 0xFFFFFFFF).to_bytes(4, "little")
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff" + body + trailer
