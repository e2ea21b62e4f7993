"""A core module with a witness: an exported global that keeps the largest growth of a memory that was refused.

wasmtime's C API (50) tells nobody of a refused growth. So each memory.grow becomes a call of a function put at the end,
which grows, and where that is refused notes how many pages were wanted: an i64, 0 at first. Functions keep their
numbers; their code moves, see `Witnessed.place`. A growth costs a guest with a limit of --fuel some ten units more.
Source: WebAssembly core specification 3.0, sections 5.4 and 5.5.
"""

import re
from bisect import bisect_right
from typing import NamedTuple

from wasmdock.errors import GuestError
from wasmdock.wasm_operators import Growth, Widths, read_bodies, read_functions, read_imports, read_shape, read_types
from wasmdock.wasm_reader import Reader
from wasmdock.wasm_sniff import CORE_SECTIONS, core_modules
from wasmdock.wasm_trap import WITNESS

PAGE = 1 << 16
_GROWS, _GROWS_FIRST = re.compile(b"\x40"), re.compile(rb"\x40\x80{0,4}\x00")  # memory.grow, and that of memory 0
_TYPES, _IMPORTS, _FUNCTIONS, _MEMORIES, _GLOBALS, _EXPORTS, _CODE = 1, 2, 3, 5, 6, 7, 10  # section codes, 5.5.2
_MOST = 1_000_000  # types or functions; more are wasmtime's to refuse
_GLOBAL = b"\x7e\x01\x42\x00\x0b"  # i64, mutable, 0 at first
_HAS_MAXIMUM, _IS_64 = 1, 4  # flags of a memory; one with others (shared, pages of another size) is not watched
_I32, _I64 = b"\x7f", b"\x7e"


class Witnessed(NamedTuple):
    """The module with its witness; where pieces of its code begin, in order, and where they stood before."""

    data: bytes
    here: list[int]
    before: list[int]

    def place(self, offset: int) -> int:
        """Where the code at this offset stood in the module as it was."""
        found = bisect_right(self.here, offset) - 1
        return self.before[found] + offset - self.here[found] if found >= 0 else offset


class _Module(NamedTuple):
    sections: list[tuple[int, int, Reader]]  # as Reader.sections has them
    types: int
    functions: int
    others: int  # imports that are no functions, such as a memory: a command of WASI has none
    growths: list[Growth]


class _Memory(NamedTuple):
    is_64: bool
    most: int | None  # pages


def may_grow(data: bytes) -> bool:
    """Whether some function of a module or component has a memory.grow; True where that cannot be read."""
    try:
        return any(_read(module).growths for module in core_modules(data))
    except GuestError:
        return True


def with_witness(data: bytes) -> Witnessed | None:
    """The core module with a witness; None where it grows no memory, or is made of what we do not read."""
    if b"\x40" not in data or WITNESS in data:
        return None
    try:
        module = _read(Reader(data, 8))
        return _rewritten(data, module) if module.growths else None
    except GuestError:
        return None


def _read(module: Reader) -> _Module:
    sections = list(module.sections(CORE_SECTIONS))
    types: list[int] = []
    functions: list[int] = []
    growths: list[Growth] = []
    others, sought = 0, _GROWS
    for section, _, contents in sections:
        part = contents.within(contents.pos, contents.end)
        if section == _TYPES:
            types = read_types(part, _MOST)
        elif section == _IMPORTS:
            functions += read_imports(part, types)
            others = contents.within(contents.pos, contents.end).u32() - len(functions)
        elif section == _FUNCTIONS:
            functions += read_functions(part, types, _MOST)
        elif section == _MEMORIES and not others and part.u32() == 1:
            sought = _GROWS_FIRST
        elif section == _CODE:
            widths = Widths(types, functions)
            bodies = (body for body, *_ in read_bodies(part) if sought.search(body.data, body.pos, body.end))
            growths = [growth for body in bodies for growth in read_shape(body, widths).growths]
    return _Module(sections, len(types), len(functions), others, growths)


def _rewritten(data: bytes, module: _Module) -> Witnessed:
    parts = {section: contents.within(contents.pos, contents.end) for section, _, contents in module.sections}
    if module.others or _EXPORTS not in parts or _MEMORIES not in parts:
        raise GuestError("nothing that can be watched")
    memories = _read_memories(parts[_MEMORIES])
    grown = sorted({growth.memory for growth in module.growths})
    witness = parts[_GLOBALS].u32() if _GLOBALS in parts else 0
    more = {
        _TYPES: [b"\x60\x01" + kind + b"\x01" + kind for kind in (_I32, _I64)],
        _FUNCTIONS: [leb(module.types + _memory(memories, each).is_64) for each in grown],
        _GLOBALS: [_GLOBAL],
        _EXPORTS: [leb(len(WITNESS)) + WITNESS + b"\x03" + leb(witness)],
    }
    out = bytearray(data[:8])
    here: list[int] = []
    before: list[int] = []
    for section, length, contents in module.sections:
        if section == _EXPORTS and _GLOBALS not in parts:
            out += _section(_GLOBALS, leb(1) + _GLOBAL)
        if section == _CODE:
            code = _Code(contents, module, grown)
            code.append([_grower(each, _memory(memories, each), witness) for each in grown])
            out += _section(section, bytes(code.out))
            here, before = [len(out) - len(code.out) + each for each in code.here], code.before
        elif section in more:
            count = contents.u32() + len(more[section])
            out += _section(section, leb(count) + data[contents.pos : contents.end] + b"".join(more[section]))
        else:
            out += data[contents.end - length : contents.end]
    return Witnessed(bytes(out), here, before)


class _Code:
    """The contents of a code section, growths made calls; here and before as in Witnessed, but from its start."""

    def __init__(self, code: Reader, module: _Module, grown: list[int]) -> None:
        self.here: list[int] = []
        self.before: list[int] = []
        self._data, self._growths = code.data, iter(module.growths)
        self._callees = {memory: leb(module.functions + number) for number, memory in enumerate(grown)}
        self.out = bytearray(leb(code.u32() + len(grown)))
        growth = next(self._growths, None)
        while code.pos < code.end:
            size = code.u32()
            start = code.skip(size)
            inside = []
            while growth is not None and growth.start < code.pos:
                inside.append(growth)
                growth = next(self._growths, None)
            self._body(start, code.pos, inside)

    def _body(self, start: int, end: int, growths: list[Growth]) -> None:
        """One function, the body from start to end with these in it."""
        calls = [b"\x10" + self._callees[each.memory] for each in growths]
        added = sum(len(call) - (each.end - each.start) for call, each in zip(calls, growths, strict=True))
        self.out += leb(end - start + added)
        for call, each in zip(calls, growths, strict=True):
            self._copy(start, each.start)
            self._copy(each.start, each.start)
            self.out += call
            start = each.end
        self._copy(start, end)

    def _copy(self, start: int, end: int) -> None:
        self.here.append(len(self.out))
        self.before.append(start)
        self.out += self._data[start:end]

    def append(self, bodies: list[bytes]) -> None:
        """Put functions of ours at the end."""
        for body in bodies:
            self.out += leb(len(body)) + body


def _memory(memories: list[_Memory], index: int) -> _Memory:
    if index >= len(memories):
        raise GuestError(f"no memory {index}")
    return memories[index]


def _read_memories(contents: Reader) -> list[_Memory]:
    """Raises GuestError for one that is shared or has pages of another size."""
    memories = []
    for _ in range(contents.count("memories")):
        flags = contents.byte()
        if flags & ~(_HAS_MAXIMUM | _IS_64):
            raise contents.fault("a memory of another kind")
        contents.u64()
        memories.append(_Memory(bool(flags & _IS_64), contents.u64() if flags & _HAS_MAXIMUM else None))
    return memories


def _grower(number: int, memory: _Memory, witness: int) -> bytes:
    """A function that grows a memory; (param $n) (result) as memory.grow has them, (local $wanted i64).

    The guest's own maximum is no refusal of ours: what is above it is not noted.
    """
    index, noted = leb(number), leb(witness)
    kind, minus_one, is_equal = (_I64, b"\x42\x7f", b"\x51") if memory.is_64 else (_I32, b"\x41\x7f", b"\x46")
    widened = b"" if memory.is_64 else b"\xad"  # i64.extend_i32_u
    pages = b"\x3f" + index + widened + b"\x20\x00" + widened + b"\x7c\x22\x02"  # size + n, kept in $wanted
    counts = pages + b"\x23" + noted + b"\x56"  # more than is noted
    if memory.most is not None:
        counts += b"\x20\x02\x42" + _signed_leb(memory.most) + b"\x58\x71"  # and no more than its maximum
    note = b"\x04\x40" + counts + b"\x04\x40\x20\x02\x24" + noted + b"\x0b\x0b"
    grow = b"\x20\x00\x40" + index + b"\x22\x01" + minus_one + is_equal
    return b"\x02\x01" + kind + b"\x01" + _I64 + grow + note + b"\x20\x01\x0b"


def _section(code: int, contents: bytes) -> bytes:
    return bytes((code,)) + leb(len(contents)) + contents


def leb(value: int) -> bytes:
    """An unsigned number (LEB128)."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*found, value))


def _signed_leb(value: int) -> bytes:
    """A number from 0 on as a signed one."""
    found = bytearray()
    while value > 0x3F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*found, value))
