"""Core type syntax of a Wasm binary: value, heap and composite types, limits, constant expressions.

Source: WebAssembly core specification 3.0, sections 5.3 (types) and 5.4.9 (expressions), with threads,
custom page sizes, shared-everything and custom descriptors as far as needed to pass over them.
"""

import struct

from wasmdock.wasm_reader import Reader
from wasmdock.wasm_types import FuncType, Memory, Table

_VALUES = {
    0x7F: "i32",
    0x7E: "i64",
    0x7D: "f32",
    0x7C: "f64",
    0x7B: "v128",
    0x70: "funcref",
    0x6F: "externref",
    0x6E: "anyref",
    0x6D: "eqref",
    0x6C: "i31ref",
    0x6B: "structref",
    0x6A: "arrayref",
    0x69: "exnref",
    0x68: "contref",
    0x71: "nullref",
    0x72: "nullexternref",
    0x73: "nullfuncref",
    0x74: "nullexnref",
    0x75: "nullcontref",
}
_HEAPS = {
    0x70: "func",
    0x6F: "extern",
    0x6E: "any",
    0x6D: "eq",
    0x6C: "i31",
    0x6B: "struct",
    0x6A: "array",
    0x69: "exn",
    0x68: "cont",
    0x71: "none",
    0x72: "noextern",
    0x73: "nofunc",
    0x74: "noexn",
    0x75: "nocont",
}
_MAX_PARAMS = 1000  # as every engine: wasmparser's MAX_WASM_FUNCTION_PARAMS and _RETURNS


def value_type(reader: Reader) -> str:
    """A value type's text."""
    code = reader.byte()
    if code in _VALUES:
        return _VALUES[code]
    if code in (0x63, 0x64):
        return f"(ref {'null ' if code == 0x63 else ''}{heap_type(reader)})"
    if code == 0x65:
        heap = reader.byte()
        if heap in _HEAPS:
            return f"(ref null (shared {_HEAPS[heap]}))"
    raise reader.unknown(code, "value type")


def heap_type(reader: Reader) -> str:
    """A heap type's text: a word, or the index of a type."""
    code = reader.peek()
    if code in _HEAPS:
        reader.byte()
        return _HEAPS[code]
    if code == 0x65:
        reader.byte()
        return f"(shared {heap_type_word(reader)})"
    if code == 0x62:
        reader.byte()
        return f"(exact {reader.u32()})"
    index = reader.signed(33)
    if index < 0:
        raise reader.unknown(code, "heap type")
    return str(index)


def heap_type_word(reader: Reader) -> str:
    """An abstract heap type's text."""
    code = reader.byte()
    if code not in _HEAPS:
        raise reader.unknown(code, "heap type")
    return _HEAPS[code]


def type_group(reader: Reader) -> list[FuncType | None]:
    """One entry of the type section: each function type in it, None for a struct, array or continuation."""
    if reader.peek() != 0x4E:
        return [_sub_type(reader)]
    reader.byte()
    return [_sub_type(reader) for _ in range(reader.count("types"))]


def _sub_type(reader: Reader) -> FuncType | None:
    if reader.peek() in (0x4F, 0x50):
        reader.byte()
        for _ in range(reader.count("supertypes")):
            reader.u32()
    return _composite_type(reader)


def _composite_type(reader: Reader) -> FuncType | None:
    code = reader.byte()
    if code == 0x65:  # shared
        code = reader.byte()
    for prefix in (0x4C, 0x4D):  # describes, descriptor
        if code == prefix:
            reader.u32()
            code = reader.byte()
    if code == 0x60:
        return FuncType(_value_types(reader, "parameters"), _value_types(reader, "results"))
    if code == 0x5E:
        _field_type(reader)
    elif code == 0x5F:
        for _ in range(reader.count("fields")):
            _field_type(reader)
    elif code == 0x5D:
        reader.signed(33)
    else:
        raise reader.unknown(code, "type")
    return None


def _value_types(reader: Reader, what: str) -> tuple[str, ...]:
    count = reader.count(what)
    if count > _MAX_PARAMS:
        raise reader.fault(f"a function type has {count} {what}, {_MAX_PARAMS} at the most,")
    return tuple([value_type(reader) for _ in range(count)])


def _field_type(reader: Reader) -> None:
    if reader.peek() in (0x77, 0x78):  # i16, i8
        reader.byte()
    else:
        value_type(reader)
    mutability(reader)


def mutability(reader: Reader) -> bool:
    """Whether a global or field may change (the second bit, shared, is passed over)."""
    code = reader.byte()
    if code > 3:
        raise reader.unknown(code, "mutability")
    return bool(code & 1)


def _limits(reader: Reader, known: int) -> tuple[int, int, int | None]:
    flags = reader.byte()
    if flags > known:
        raise reader.unknown(flags, "kind of limits")
    minimum = reader.u64()
    maximum = reader.u64() if flags & 1 else None
    if maximum is not None and maximum < minimum:
        raise reader.fault(f"a maximum of {maximum} is below its minimum of {minimum}")
    return flags, minimum, maximum


def memory_type(reader: Reader) -> Memory:
    """A memory's limits, nameless."""
    flags, minimum, maximum = _limits(reader, 15)
    page = reader.u32() if flags & 8 else 16
    if page not in (0, 16):
        raise reader.fault(f"pages of 2**{page} bytes are not defined")
    return Memory(minimum, maximum, bool(flags & 2), bool(flags & 4), page=1 << page)


def table_type(reader: Reader) -> Table:
    """A table's element type and limits, nameless."""
    element = value_type(reader)
    flags, minimum, maximum = _limits(reader, 7)
    return Table(element, minimum, maximum, bool(flags & 2), bool(flags & 4))


_FLOATS = {0x43: ("<f", 4), 0x44: ("<d", 8)}
_NO_OPERAND = frozenset((0x6A, 0x6B, 0x6C, 0x7C, 0x7D, 0x7E))  # add, sub, mul of i32 and i64


def constant(reader: Reader) -> int | float | None:
    """Pass over a constant expression; its value where it is one plain number."""
    value: int | float | None = None
    steps = 0
    while (code := reader.byte()) != 0x0B:
        value = _operand(reader, code)
        steps += 1
    return value if steps == 1 else None


def _operand(reader: Reader, code: int) -> int | float | None:
    if code == 0x41:
        return reader.signed(32)
    if code == 0x42:
        return reader.signed(64)
    if code in _FLOATS:
        form, size = _FLOATS[code]
        number: float = struct.unpack(form, reader.take(size))[0]
        return number
    if code in (0x23, 0xD2):  # global.get, ref.func
        reader.u32()
    elif code == 0xD0:  # ref.null
        heap_type(reader)
    elif code in (0xFB, 0xFD):
        _prefixed(reader, code)
    elif code not in _NO_OPERAND:
        raise reader.unknown(code, "instruction of a constant expression")
    return None


def _prefixed(reader: Reader, prefix: int) -> None:
    """Pass over the operands of v128.const (0xFD 12) or of a GC instruction (0xFB)."""
    code = reader.u32()
    if prefix == 0xFD and code == 12:
        reader.skip(16)
    elif prefix == 0xFB and code in (0, 1, 6, 7, 8, 0x20, 0x21):  # struct.new ... array.new_fixed, _desc
        reader.u32()
        if code == 8:
            reader.u32()
    elif prefix == 0xFD or code not in (0x1A, 0x1B, 0x1C):  # any.convert_extern and back, ref.i31
        raise reader.unknown(code, "instruction of a constant expression")
