"""A module with a witness: the same guest, and what it was refused."""

import struct

import pytest

from wasmdock.engine import Engine, assemble
from wasmdock.errors import GuestError
from wasmdock.wasm import parse
from wasmdock.wasm_trap import WITNESS
from wasmdock.wasm_witness import may_grow, with_witness

GROWN = '(func (export "_start") (drop (memory.grow (i32.const 1))))'


def wasm(fields: str) -> bytes:
    return assemble(f"(module {fields})".encode(), "guest")


@pytest.mark.parametrize(
    "fields",
    [
        f"(memory 1) {GROWN}",
        f'(memory 1 9) (global (mut i32) (i32.const 5)) (table 1 funcref) (data (i32.const 0) "x") {GROWN}',
        '(memory i64 1 4294967296) (func (export "_start") (drop (memory.grow (i64.const 1))))',
        '(memory 1) (memory $b 2) (func (export "_start") (drop (memory.grow $b (i32.const 1))))',
        '(memory 1) (memory i64 1) (func (export "_start") (drop (memory.grow 0 (memory.grow 0 (i32.const 1))))'
        " (drop (memory.grow 1 (i64.const 1))))",
        "".join(f"(func $f{each})" for each in range(300)) + f"(memory 1) {GROWN}",
    ],
)
def test_module_with_a_witness_is_sound_and_has_one_export_more(fields: str) -> None:
    data = wasm(fields)
    witnessed = with_witness(data)
    assert witnessed is not None and may_grow(data)
    before, after = parse(data), parse(witnessed.data)
    assert [each.name for each in after.exports] == [*(each.name for each in before.exports), WITNESS.decode()]
    assert Engine().module(witnessed.data)


@pytest.mark.parametrize(
    "fields",
    [
        "",
        '(memory 1) (func (export "_start"))',
        f'(import "env" "memory" (memory 1)) {GROWN}',
        f"(memory 1 2 shared) {GROWN}",
        f'(memory 1) {GROWN} (global (export "{WITNESS.decode()}") i32 (i32.const 0))',
        "(memory 1) (func (drop (memory.grow (i32.const 1))))",
    ],
)
def test_module_that_cannot_be_watched_or_need_not_be_is_left_alone(fields: str) -> None:
    assert with_witness(wasm(fields)) is None


@pytest.mark.parametrize("call", [b"\x10\x01", b"\x23\x00\x1a"])
@pytest.mark.parametrize("around", ["(module {})", "(component (core module {}))"])
def test_what_a_binary_lacks_is_not_made_good_by_its_witness(call: bytes, around: str) -> None:
    """Its function 1 and its global 0 are ours."""
    fields = '(memory 1) (func (export "_start") (drop (memory.grow (i32.const 1))) nop nop nop)'
    data = assemble(around.format(fields).encode(), "guest")
    engine = Engine()
    load = engine.module if around.startswith("(module") else engine.component
    assert load(data)
    with pytest.raises(GuestError, match="unknown"):
        load(data.replace(b"\x01\x01\x01\x0b", call.ljust(3, b"\x01") + b"\x0b"))


def test_cut_and_broken_modules_are_left_alone() -> None:
    data = wasm(f"(memory 1) {GROWN}")
    for size in range(8, len(data)):
        with_witness(data[:size])
        with_witness(data[:size] + b"\xff" + data[size + 1 :])


def test_code_is_found_where_it_stood() -> None:
    data = wasm("(memory 1)" + "(func (drop (memory.grow (i32.const 1))) (drop (f64.const 1.5)))" * 3 + GROWN)
    witnessed = with_witness(data)
    assert witnessed is not None
    mark = b"\x44" + struct.pack("<d", 1.5)
    places = [at for at in range(len(data)) if data.startswith(mark, at)]
    here = [at for at in range(len(witnessed.data)) if witnessed.data.startswith(mark, at)]
    assert len(places) == 3 and [witnessed.place(at) for at in here] == places != here
