"""Small Wasm binaries that take long to compile, one builder per way; wasm_cost is measured by them."""

import wasmtime

from tests.wasm_samples import MODULE_HEAD, leb, section

VOID = b"\x60\0\0"
I32, END, DROP, PLUS = b"\x7f", b"\x0b", b"\x1a", b"\x6a"


def function_type(width: int) -> bytes:
    """A type of `width` numbers in and as many out."""
    return b"\x60" + (leb(width) + I32 * width) * 2


def module(*bodies: bytes, types: tuple[bytes, ...] = (), between: bytes = b"") -> bytes:
    """A module of functions without parameters; the first is its command. between: sections before the exports."""
    count = leb(len(bodies))
    kinds = section(1, leb(1 + len(types)) + VOID + b"".join(types))
    code = section(10, count + b"".join(leb(len(body)) + body for body in bodies))
    return (
        MODULE_HEAD + kinds + section(3, count + b"\0" * len(bodies)) + between + section(7, b"\1\6_start\0\0") + code
    )


def many_functions(count: int) -> bytes:
    """Functions that do nothing."""
    return module(*[b"\0" + END] * count)


def giant_locals(count: int) -> bytes:
    """Functions with 50,000 locals."""
    return module(*[b"\1" + leb(50_000) + I32 + END] * count)


def typed_locals(count: int) -> bytes:
    """Functions with 50,000 locals after one of a typed reference."""
    return module(*[b"\2\1\x63\x70" + leb(50_000) + I32 + END] * count)


def nested_loops(depth: int) -> bytes:
    """Loops in loops."""
    return module(b"\0" + b"\x03\x40" * depth + END * depth + END)


def looped_locals(count: int, depth: int) -> bytes:
    """Locals that are set inside loops in loops: each is handed through every loop."""
    use = b"".join(b"\x20" + leb(each) + b"\x41\1" + PLUS + b"\x21" + leb(each) for each in range(count))
    back = b"\x41\0\x0d\0" + END
    return module(b"\1" + leb(count) + I32 + b"\x03\x40" * depth + use + back * depth + END)


def left_blocks(count: int, depth: int) -> bytes:
    """Locals that are set inside blocks in blocks, each of which may have been left before."""
    leave = b"".join(b"\x20\0\x0d" + leb(each) for each in range(depth))
    tees = b"".join(b"\x22" + leb(each) for each in range(count))
    read = b"\x20\0" + b"".join(b"\x20" + leb(each) + PLUS for each in range(count)) + DROP
    inside = leave + b"\x41\1" + tees + DROP
    return module(b"\1" + leb(count) + I32 + b"\x02\x40" * depth + inside + END * depth + read + END)


def wide_loops(depth: int, width: int) -> bytes:
    """Loops in loops, each of which takes and gives many values."""
    values, loops = b"\x41\0" * width, b"\x03\1" * depth
    return module(b"\0" + values + loops + END * depth + DROP * width + END, types=(function_type(width),))


def wide_calls(count: int, width: int) -> bytes:
    """Indirect calls that take and give many values: two bytes each besides the index."""
    table = section(4, b"\1\x70\0\1")
    body = b"\0" + b"\x41\0" * width + b"\x41\0\x11\1\0" * count + DROP * width + END
    return module(body, types=(function_type(width),), between=table)


def large_structs(count: int, fields: int) -> bytes:
    """Structures of many fields, made in four bytes each."""
    kind = b"\x5f" + leb(fields) + b"\x7f\0" * fields
    return module(b"\0" + (b"\xfb\1\1" + DROP) * count + END, types=(kind,))


def many_types(count: int) -> bytes:
    """Types that differ: each has code of its own for calls from outside."""
    kinds = (b"\x60\x08" + bytes(0x7C + (each >> 2 * place & 3) for place in range(8)) + b"\0" for each in range(count))
    return module(b"\0" + END, types=tuple(kinds))


def growing(count: int) -> bytes:
    """memory.grow after memory.grow: two bytes each."""
    memory = section(5, b"\1\0\1")
    return module(b"\1\1" + I32 + b"\x20\0" + b"\x40\0" * count + b"\x21\0" + END, between=memory)


def adapters(width: int, count: int) -> bytes:
    """A component whose inner functions hand one another tuples of many fields."""
    each, used = range(count), '(memory (core memory $i "memory")) (realloc (core func $i "r"))'
    kind = f"(tuple {'u8 ' * width})"
    core = '(memory (export "memory") 1) (func (export "r") (param i32 i32 i32 i32) (result i32) unreachable)'
    exports = " ".join(f'(func (export "f{n}") (param i32))' for n in each)
    lifts = " ".join(f'(func (export "f{n}") (param "x" $u) (canon lift (core func $i "f{n}") {used}))' for n in each)
    imports = " ".join(f'(import "f{n}" (func $f{n} (param "x" $u)))' for n in each)
    lowers = " ".join(f"(core func $g{n} (canon lower (func $f{n}) {used}))" for n in each)
    needs = " ".join(f'(import "" "g{n}" (func (param i32)))' for n in each)
    given = " ".join(f'(export "g{n}" (func $g{n}))' for n in each)
    wired = " ".join(f'(with "f{n}" (func $a "f{n}"))' for n in each)
    text = f"""(component
        (component $A (type $t {kind}) (export $u "t" (type $t))
          (core module $m {core} {exports}) (core instance $i (instantiate $m)) {lifts})
        (component $B (type $t {kind}) (import "t" (type $u (eq $t))) {imports}
          (core module $m {core}) (core instance $i (instantiate $m)) {lowers}
          (core module $n {needs}) (core instance (instantiate $n (with "" (instance {given})))))
        (instance $a (instantiate $A)) (instance (instantiate $B (with "t" (type $a "t")) {wired})))"""
    return bytes(wasmtime.wat2wasm(text))
