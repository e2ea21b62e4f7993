"""Pieces of a Wasm binary written: numbers and sections (WebAssembly core specification, 5.2.2 and 5.5.2)."""


def leb(value: int) -> bytes:
    """An unsigned number (LEB128)."""
    return _leb(value, 0x7F)


def signed_leb(value: int) -> bytes:
    """A number from 0 on as a signed one, whose last byte has a bit for the sign."""
    return _leb(value, 0x3F)


def section(code: int, contents: bytes) -> bytes:
    """A section of that code."""
    return bytes((code,)) + leb(len(contents)) + contents


def _leb(value: int, last: int) -> bytes:
    """Seven bits a byte, the lowest first, until what is left fits into the last one."""
    found = bytearray()
    while value > last:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*found, value))
