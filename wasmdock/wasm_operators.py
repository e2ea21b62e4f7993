"""The shape of a core function: what in it is dear to compile, counted operator by operator.

Source: WebAssembly core specification 3.0, sections 5.3 (types) and 5.4 (instructions). What is rare in what compilers
of today write (garbage collection, exceptions, atomics) is not read: GuestError.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from wasmdock.wasm_reader import Reader

_LEB = rb"[\x80-\xff]*+[\x00-\x7f]"
_MEMORY = rb"(?:[\x40-\x7f]" + _LEB + rb"|[\x00-\x3f])" + _LEB
# Operators that compile to a few instructions each; runs of them are passed over by the regular expression alone.
_VECTOR = (
    rb"[\x00-\x0b\x5c\x5d]" + _MEMORY,
    rb"[\x54-\x5b]" + _MEMORY + rb".",
    rb"[\x0c\x0d].{16}",
    rb"[\x15-\x22].",
    rb"[\x0e-\x14\x23-\x53\x5e-\x7f]|[\x80-\xff][\x01\x02]",
)
_PLAIN = (
    rb"[\x00\x01\x05\x0f\x1a\x1b\x45-\xc4\xd1]",
    rb"[\x0c\x0d\x20\x23-\x26\x3f\x41\x42\xd2]" + _LEB,
    rb"[\x28-\x3e]" + _MEMORY,
    rb"\x43.{4}|\x44.{8}|\x1c\x01[\x6f\x70\x7b-\x7f]|\xd0[\x6f\x70]|\xfc[\x00-\x07]",
    rb"\xfd(?:" + b"|".join(_VECTOR) + b")",
)
_RUN = b"(?:" + b"|".join(_PLAIN) + b")*+"
_SKIP = re.compile(_RUN + rb"([\x02-\x04\x0b\x0e\x10-\x13\x21\x22\x40\xfc])", re.DOTALL)
# All that has a fixed form, but for `unreachable` and memory.grow.
_FIXED = (
    _PLAIN[0].replace(rb"\x00", b""),
    *_PLAIN[1:],
    rb"[\x02-\x04\x10\x12\x21\x22]" + _LEB + rb"|\x0b|[\x11\x13]" + _LEB * 2,
    rb"\xfc(?:[\x08\x0a\x0c\x0e]" + _LEB * 2 + rb"|[\x09\x0b\x0d\x0f-\x11]" + _LEB + b")",
)
_BLOCKS, _LOOP, _END, _TABLE, _SETS, _GROW, _MORE = (2, 3, 4), 3, 0x0B, 0x0E, (0x21, 0x22), 0x40, 0xFC
_TABLE_GROW = 15  # after 0xfc
_CALL, _CALL_INDIRECT, _TAIL_CALL, _TAIL_INDIRECT = 0x10, 0x11, 0x12, 0x13
_IMMEDIATES = {8: 2, 9: 1, 10: 2, 11: 1, 12: 2, 13: 1, 14: 2, 15: 1, 16: 1, 17: 1}  # numbers after 0xfc and these
_FUNCTION, _FUNCTION_TYPE = 0, 0x60
_TYPED_REFERENCES = (0x63, 0x64)  # (ref null ht) and (ref ht): the only value types of more than a byte


@dataclass(frozen=True, slots=True)
class Widths:
    """How many values go in and out: of each type, and of each function, imported ones first."""

    types: list[int]
    functions: list[int]


class Growth(NamedTuple):
    """A memory.grow: the offset where it stands, the one behind it, and the number of its memory."""

    start: int
    end: int
    memory: int


@dataclass(slots=True)
class Shape:
    """What makes a function dear.

    called: values handed over by calls. joined: how many values may differ where branches meet, summed over all
    blocks: a local that is set counts for each block around it. loops: their number. helped: calls of wasmtime's own.
    grows: whether one of these is table.grow.
    """

    called: int = 0
    joined: int = 0
    loops: int = 0
    helped: int = 0
    grows: bool = False


def read_types(types: Reader, most: int) -> list[int]:
    """How many values each function type has. Raises GuestError for other types, and for more than `most`."""
    count = types.count("types")
    if count > most:
        raise types.fault(f"{count} types")
    widths = []
    for _ in range(count):
        if types.byte() != _FUNCTION_TYPE:
            raise types.fault("no function type")
        width = 0
        for _ in range(2):
            values = types.count("values")
            width += values
            _skip_values(types, values)
        widths.append(width)
    return widths


def _skip_values(reader: Reader, count: int) -> None:
    for _ in range(count):
        if reader.byte() in (0x63, 0x64):
            reader.signed(33)


def read_imports(imports: Reader, types: list[int]) -> list[int]:
    """How many values each imported function has. Raises GuestError."""
    widths = []
    for _ in range(imports.count("imports")):
        imports.skip(imports.u32())
        imports.skip(imports.u32())
        kind = imports.byte()
        if kind == _FUNCTION:
            widths.append(_width(types, imports.u32(), imports))
        elif kind == 3:
            imports.skip(2)
        elif kind in (1, 2):
            imports.skip(2 - kind)
            numbers = 1 + (imports.byte() & 1)
            for _ in range(numbers):
                imports.u64()
        else:
            raise imports.fault("an import of another kind")
    return widths


def read_functions(functions: Reader, types: list[int], most: int) -> list[int]:
    """How many values each function has. Raises GuestError for more than `most` functions."""
    count = functions.count("functions")
    if count > most:
        raise functions.fault(f"{count} functions")
    return [_width(types, functions.u32(), functions) for _ in range(count)]


def _width(widths: list[int], index: int, reader: Reader) -> int:
    if index >= len(widths):
        raise reader.fault(f"no type {index}")
    return widths[index]


def read_bodies(code: Reader) -> Iterator[tuple[Reader, int, int]]:
    """Of each function in a code section: its operators, the size with its locals in bytes, and their number."""
    for _ in range(code.u32()):
        size = code.u32()
        start = code.skip(size)
        body = code.within(start, start + size)
        held = 0
        for _ in range(body.u32()):
            held += body.u32()
            if body.byte() in _TYPED_REFERENCES:
                body.signed(33)
        yield body, size, held


def read_shape(body: Reader, widths: Widths) -> Shape:
    """The shape of the operators from here to the end of the body. Raises GuestError for one that is not known."""
    shape, depth = Shape(), 0
    while body.pos < body.end:
        found = _SKIP.match(body.data, body.pos, body.end)
        if found is None:
            raise body.fault("an operator that is not known")
        body.pos = found.end()
        code = body.data[body.pos - 1]
        if code in _SETS:
            body.u32()
            shape.joined += depth
        elif code in _BLOCKS:
            depth += 1
            shape.loops += code == _LOOP
            shape.joined += _block_width(body, widths)
        elif code == _END:
            depth -= 1
        else:
            _count_call(code, body, widths, shape)
    return shape


def find_growths(body: Reader) -> tuple[list[Growth], list[int]]:
    """Each memory.grow from here to the end of the body, and the offset of each `unreachable`; both in order.

    Raises GuestError for an operator that is not known.
    """
    growths, ends, run = [], [], _up_to_growths()
    while body.pos < body.end:
        found = run.match(body.data, body.pos, body.end)
        body.pos = found.end() if found else body.pos
        code = found[1] if found else None
        if code == b"\x40":
            start, memory = body.pos - 1, body.u32()
            growths.append(Growth(start, body.pos, memory))
        elif code == b"\0":
            ends.append(body.pos - 1)
        elif code is not None:
            for _ in range(body.count("targets") + 1):
                body.u32()
        elif body.pos < body.end:
            raise body.fault("an operator that is not known")
    return growths, ends


@cache
def _up_to_growths() -> re.Pattern[bytes]:
    return re.compile(b"(?:" + b"|".join(_FIXED) + rb")*+([\x00\x0e\x40])?", re.DOTALL)


def _block_width(body: Reader, widths: Widths) -> int:
    """How many values go into a block and come out of it."""
    code = body.signed(33)
    return 0 if code == -64 else 1 if code < 0 else _width(widths.types, code, body)


def _count_call(code: int, body: Reader, widths: Widths, shape: Shape) -> None:
    if code in (_CALL, _TAIL_CALL):
        shape.called += _width(widths.functions, body.u32(), body)
    elif code in (_CALL_INDIRECT, _TAIL_INDIRECT):
        shape.called += _width(widths.types, body.u32(), body)
        body.u32()
    elif code == _TABLE:
        for _ in range(body.count("targets") + 1):
            body.u32()
    elif code == _GROW:
        body.u32()
        shape.helped += 1
    else:
        more = body.u32()
        for _ in range(_IMMEDIATES.get(more, 0)):
            body.u32()
        shape.helped += 1
        shape.grows |= more == _TABLE_GROW
