"""A binary with a witness: what tells afterwards whether a growth of a memory was refused.

wasmtime's C API (50) tells nobody. So each memory.grow becomes a call of a function put at the module's end, which
grows, and where that is refused notes in a global how many pages were wanted. A core module exports this: an i64, 0 at
first. Of a module in a component nobody can ask that; there each `unreachable` is preceded by a call of one more
function, which traps itself where a growth was refused. Functions keep their numbers; their code moves, see
`Witnessed.place`. A growth costs a guest with a limit of --fuel some ten units more.
Source: WebAssembly core specification 3.0, sections 5.4 and 5.5; component-model/design/mvp/Binary.md.
"""

import re
from bisect import bisect_right
from typing import NamedTuple

from wasmdock.errors import GuestError
from wasmdock.wasm_operators import find_growths, read_bodies, read_functions, read_imports, read_types
from wasmdock.wasm_reader import Reader
from wasmdock.wasm_sniff import COMPONENT_SECTIONS, CORE_SECTIONS, Form, core_modules, form_of
from wasmdock.wasm_trap import WITNESS
from wasmdock.wasm_writer import leb, signed_leb
from wasmdock.wasm_writer import section as write_section

PAGE = 1 << 16
_GROWS, _GROWS_FIRST = re.compile(b"\x40"), re.compile(rb"\x40\x80{0,4}\x00")  # memory.grow, and that of memory 0
_TYPES, _IMPORTS, _FUNCTIONS, _MEMORIES, _GLOBALS, _EXPORTS, _CODE = 1, 2, 3, 5, 6, 7, 10  # section codes, 5.5.2
_CORE_MODULE, _COMPONENT = 1, 4  # and of a component
_MOST = 1_000_000  # types or functions; more are wasmtime's to refuse
_DEEPEST = 100  # of components within each other; wasmtime takes no more
_GLOBAL = b"\x7e\x01\x42\x00\x0b"  # i64, mutable, 0 at first
_HAS_MAXIMUM, _IS_64 = 1, 4  # flags of a memory; one with others (shared, pages of another size) is not watched
_I32, _I64 = b"\x7f", b"\x7e"


class Witnessed(NamedTuple):
    """The binary with its witness, and what stands where in it.

    here are offsets where pieces of its code begin, in order, and before is where these stood; ends are the first and
    the last offset of each function that traps after a refusal.
    """

    data: bytes
    here: list[int]
    before: list[int]
    ends: list[tuple[int, int]]

    def place(self, offset: int) -> int:
        """Where the code at this offset stood in the binary as it was."""
        found = bisect_right(self.here, offset) - 1
        return self.before[found] + offset - self.here[found] if found >= 0 else offset

    def is_end(self, offset: int) -> bool:
        """Whether who traps there was refused a growth."""
        return any(first <= offset <= last for first, last in self.ends)


class _Edit(NamedTuple):
    """Of code: operators of ours in the place of those from start to end."""

    start: int
    end: int
    memory: int | None  # to be grown; None for the call before an `unreachable`


class _Module(NamedTuple):
    sections: list[tuple[int, int, Reader]]  # as Reader.sections has them
    types: int
    functions: int
    others: int  # imports that are no functions, such as a memory: a command of WASI has none
    edits: list[_Edit]  # in order

    @property
    def grown(self) -> list[int]:
        return sorted({edit.memory for edit in self.edits if edit.memory is not None})


class _Memory(NamedTuple):
    is_64: bool
    most: int | None  # pages


def may_grow(data: bytes) -> bool:
    """Whether some function of a module or component has a memory.grow; True where that cannot be read."""
    try:
        return any(_read(module).grown for module in core_modules(data))
    except GuestError:
        return True


def with_witness(data: bytes) -> Witnessed | None:
    """The module or component with a witness; None where it grows no memory, or is made of what we do not read."""
    if b"\x40" not in data or WITNESS in data:
        return None
    try:
        if form_of(data) is Form.MODULE:
            return _watched(Reader(data, 8), ends=False)
        found = _component(Reader(data, 8), data[:8], 0)
        return found if found.ends else None
    except GuestError:
        return None


def _component(reader: Reader, head: bytes, depth: int) -> Witnessed:
    """A component in which each module that grows a memory of its own is watched."""
    if depth > _DEEPEST:
        raise GuestError(f"more than {_DEEPEST} components within each other")
    whole = Witnessed(head, [], [], [])
    out = bytearray(head)
    for section, length, contents in reader.sections(COMPONENT_SECTIONS):
        start, end = contents.pos, contents.end
        inner = None
        if section in (_CORE_MODULE, _COMPONENT):
            contents.skip(8)
            inner = _inner(contents, reader.data[start : start + 8], section, depth)
        if inner is None:
            out += reader.data[end - length : end]
            continue
        out += write_section(section, inner.data)
        base = len(out) - len(inner.data)
        whole.here.extend(base + each for each in inner.here)
        whole.before.extend(inner.before)
        whole.ends.extend((base + first, base + last) for first, last in inner.ends)
    return whole._replace(data=bytes(out))


def _inner(contents: Reader, head: bytes, section: int, depth: int) -> Witnessed | None:
    if section == _COMPONENT:
        return _component(contents, head, depth + 1)
    try:
        return _watched(contents, ends=True)
    except GuestError:
        return None


def _watched(reader: Reader, *, ends: bool) -> Witnessed | None:
    module = _read(reader.within(reader.pos, reader.end))
    if not module.grown:
        return None
    if ends:
        module = _read(reader.within(reader.pos, reader.end), ends=True)
    return _rewritten(reader, module, ends=ends)


def _read(module: Reader, *, ends: bool = False) -> _Module:
    sections = list(module.sections(CORE_SECTIONS))
    types: list[int] = []
    functions: list[int] = []
    edits: list[_Edit] = []
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
            for body, *_ in read_bodies(part):
                if ends or sought.search(body.data, body.pos, body.end):
                    edits += _edits(body, ends=ends)
    return _Module(sections, len(types), len(functions), others, edits)


def _edits(body: Reader, *, ends: bool) -> list[_Edit]:
    growths, stops = find_growths(body)
    edits = [_Edit(*growth) for growth in growths]
    return sorted([*edits, *(_Edit(stop, stop, None) for stop in stops)]) if ends else edits


def _rewritten(reader: Reader, module: _Module, *, ends: bool) -> Witnessed:
    parts = {section: contents.within(contents.pos, contents.end) for section, _, contents in module.sections}
    if module.others or _EXPORTS not in parts or _MEMORIES not in parts:
        raise GuestError("nothing that can be watched")
    memories = _read_memories(parts[_MEMORIES])
    grown = [(each, _memory(memories, each)) for each in module.grown]
    witness = parts[_GLOBALS].u32() if _GLOBALS in parts else 0
    bodies = [_grower(number, memory, witness) for number, memory in grown] + [_ender(witness)] * ends
    more = {
        _TYPES: [*(b"\x60\x01" + kind + b"\x01" + kind for kind in (_I32, _I64)), b"\x60\x00\x00"],
        _FUNCTIONS: [*(leb(module.types + memory.is_64) for _, memory in grown), *[leb(module.types + 2)] * ends],
        _GLOBALS: [_GLOBAL],
        _EXPORTS: [leb(len(WITNESS)) + WITNESS + b"\x03" + leb(witness)],
    }
    data = reader.data
    out, made = bytearray(data[reader.pos - 8 : reader.pos]), Witnessed(b"", [], [], [])
    for section, length, contents in module.sections:
        if section == _EXPORTS and _GLOBALS not in parts:
            out += write_section(_GLOBALS, leb(1) + _GLOBAL)
        if section == _CODE:
            code = _Code(contents, module, bodies)
            out += write_section(section, bytes(code.out))
            base = len(out) - len(code.out)
            last = [(len(out) - len(bodies[-1]), len(out) - 1)] * ends
            made = Witnessed(b"", [base + each for each in code.here], code.before, last)
        elif section in more:
            count = contents.u32() + len(more[section])
            out += write_section(section, leb(count) + data[contents.pos : contents.end] + b"".join(more[section]))
        else:
            out += data[contents.end - length : contents.end]
    return made._replace(data=bytes(out))


class _Code:
    """The contents of a code section with edits, and functions put at the end; here and before from its start on."""

    def __init__(self, code: Reader, module: _Module, bodies: list[bytes]) -> None:
        self.here: list[int] = []
        self.before: list[int] = []
        self._data, numbers = code.data, {memory: number for number, memory in enumerate([*module.grown, None])}
        self._calls = {memory: b"\x10" + leb(module.functions + number) for memory, number in numbers.items()}
        self.out = bytearray(leb(code.u32() + len(bodies)))
        edits = iter([*module.edits, None])
        edit = next(edits)
        while code.pos < code.end:
            size = code.u32()
            start = code.skip(size)
            inside = []
            while edit is not None and edit.start < code.pos:
                inside.append(edit)
                edit = next(edits)
            self._body(start, code.pos, inside)
        for body in bodies:
            self.out += leb(len(body)) + body

    def _body(self, start: int, end: int, edits: list[_Edit]) -> None:
        """One function, the body from start to end with these in it."""
        added = sum(len(self._calls[edit.memory]) - (edit.end - edit.start) for edit in edits)
        self.out += leb(end - start + added)
        for edit in edits:
            self._copy(start, edit.start)
            self._copy(edit.start, edit.start)
            self.out += self._calls[edit.memory]
            start = edit.end
        self._copy(start, end)

    def _copy(self, start: int, end: int) -> None:
        self.here.append(len(self.out))
        self.before.append(start)
        self.out += self._data[start:end]


def _ender(witness: int) -> bytes:
    """A function that traps where a growth was refused."""
    return b"\x00\x23" + leb(witness) + b"\x50\x45\x04\x40\x00\x0b\x0b"


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
        counts += b"\x20\x02\x42" + signed_leb(memory.most) + b"\x58\x71"  # and no more than its maximum
    note = b"\x04\x40" + counts + b"\x04\x40\x20\x02\x24" + noted + b"\x0b\x0b"
    grow = b"\x20\x00\x40" + index + b"\x22\x01" + minus_one + is_equal
    return b"\x02\x01" + kind + b"\x01" + _I64 + grow + note + b"\x20\x01\x0b"
