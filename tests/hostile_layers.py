"""Layers nobody should trust, each with a piece of the error it must give."""

import gzip
import io
import tarfile

import zstandard

from tests.images import WASM, special, tar_of


def _header(name: bytes = b"app.wasm", kind: bytes = b"0", size: bytes = b"00000000010\0") -> bytes:
    """One raw header with a right checksum, whatever its fields hold."""
    block = bytearray(512)
    block[: len(name)] = name
    block[124 : 124 + len(size)] = size
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _wide_zstd(content: bytes) -> bytes:
    """A zstd frame of one raw block whose window is 1 GiB (RFC 8878, section 3.1.1.1)."""
    return b"\x28\xb5\x2f\xfd" + b"\0\xa0" + (len(content) << 3 | 1).to_bytes(3, "little") + content


def _pax(records: bytes, claimed: int | None = None) -> bytes:
    size = len(records) if claimed is None else claimed
    return _header(b"pax", b"x", b"%011o\0" % size) + records + bytes(-len(records) % 512)


def _gnu_long(length: int) -> bytes:
    return _header(b"././@LongLink", b"L", b"%011o\0" % length) + b"a" * length + bytes(-length % 512)


def _member_with(**pax: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("app.wasm")
        member.pax_headers = dict(pax)
        tar.addfile(member)
    return buffer.getvalue()


_TAR = tar_of({"app.wasm": WASM * 100})
_SPARSE = _header(kind=b"S")

HOSTILE = {
    "not a tar": (b"hello" * 300, "a number"),
    "not a tar with digits": (b"1" * 1024, "checksum"),
    "half a header": (_TAR[:300], "in the middle of a header"),
    "half a file": (_TAR[:700], 'it ends within "app.wasm"'),
    "traversal": (tar_of({"../app.wasm": WASM}), "leads out of the image"),
    "traversal of another": (tar_of({"app.wasm": WASM, "a/../../b": b""}), "leads out of the image"),
    "traversal by pax": (_member_with(path="../../x"), "leads out of the image"),
    "link out": (
        tar_of({"app.wasm": special("app.wasm", tarfile.SYMTYPE, "../../x")}),
        "it is a symbolic link",
    ),
    "hard link out": (
        tar_of({"app.wasm": special("app.wasm", tarfile.LNKTYPE, "/etc/x")}),
        "it is a hard link",
    ),
    "device": (tar_of({"app.wasm": special("app.wasm", tarfile.CHRTYPE)}), "it is a character device"),
    "pipe": (tar_of({"app.wasm": special("app.wasm", tarfile.FIFOTYPE)}), "it is a named pipe"),
    "negative size": (_header(size=b"\xff" * 12), "negative or beyond reason"),
    "size with a sign": (_header(size=b"-0000000010\0"), "for a number"),
    "huge size": (_header(size=b"\x80" + b"\x7f" * 11), "negative or beyond reason"),
    "size in pax": (_member_with(size="-1"), '"-1" is not a size'),
    "size in other digits": (_member_with(size="٣"), "is not a size"),
    "huge size in pax": (_member_with(size="9" * 19), "negative or beyond reason"),
    "endless size in pax": (_member_with(size="9" * 5000), "is not a size"),
    "sparse of old GNU": (_SPARSE + bytes(512), "it is a sparse file"),
    "sparse of pax": (
        _member_with(**{"GNU.sparse.name": "app.wasm", "GNU.sparse.major": "1"}),
        "sparse file",
    ),
    "pax without length": (_pax(b"path=x\n"), "a pax header is malformed"),
    "pax beyond its end": (_pax(b"99 path=x\n"), "a pax header is malformed"),
    "pax of length zero": (_pax(b"0 a=b\n"), "a pax header is malformed"),
    "pax without a newline": (_pax(b"8 a=bcde"), "a pax header is malformed"),
    "pax with NUL in a name": (_pax(b"12 path=a\0b\n"), "a pax header is malformed"),
    "endless pax records": (_pax(b"6 a=b\n" * 150_000) * 7, "extended headers have more than 1000000 lines"),
    "pax too large": (_pax(b"", claimed=2 << 20), "more than the 1048576 allowed"),
    "pax cut short": (_pax(b"", claimed=5000), "within an extended header"),
    "pax and nothing": (_pax(b"7 a=bc\n"), "after an extended header"),
    "long names without end": (_gnu_long(100) * 5000, "after an extended header"),
    "long name too long": (_gnu_long(2 << 20), "more than the 1048576 allowed"),
    "empty": (b"", "there is no such file"),
    "only zeros": (bytes(10240), "there is no such file"),
    "truncated gzip": (gzip.compress(_TAR)[:-10], "cut short"),
    "damaged gzip": (gzip.compress(_TAR)[:10] + b"\xff" * 50, "damaged"),
    "gzip with a wrong checksum": (gzip.compress(_TAR)[:-8] + bytes(8), "damaged"),
    "gzip with a tail": (gzip.compress(_TAR) + b"tail", "damaged"),
    "truncated zstd": (zstandard.compress(_TAR)[:-10], "its zstd data is cut short"),
    "damaged zstd": (zstandard.compress(_TAR)[:10] + b"\xff" * 500, "its zstd data is damaged"),
    "zstd that begins and no more": (b"\x28\xb5\x2f\xfd" + bytes(100), "zstd data is cut short"),
    "zstd with a tail": (zstandard.compress(_TAR) + b"tail", "damaged"),
    "zstd that wants a gigabyte of memory": (_wide_zstd(_TAR), "its zstd data is damaged (zstd decompress"),
}
