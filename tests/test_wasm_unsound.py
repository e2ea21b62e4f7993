"""Bytes that are not sound Wasm: one line with the offset, in little time and memory."""

import pytest
import wasmtime
import wasmtime.component
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.wasm_samples import COMPONENT_HEAD, COMPONENTS, MODULE_HEAD, MODULES, leb, section
from wasmdock.errors import GuestError
from wasmdock.wasm import parse, sniff


@pytest.fixture(scope="module")
def engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    for feature in ("threads", "memory64", "gc", "exceptions", "function_references", "custom_page_sizes"):
        setattr(config, f"wasm_{feature}", True)
    config.shared_memory = True
    return wasmtime.Engine(config)


UNSOUND = {
    "header cut short": (b"\0asm\x01", "ends too early at offset 0x5"),
    "unknown version": (b"\0asm\x02\0\0\0", "version 2 of layer 0"),
    "draft component": (b"\0asm\x0c\0\x01\0", "draft format 12"),
    "section overrun": (MODULE_HEAD + b"\x01\x7f", "promises 127 bytes and 0 are left at offset 0x8"),
    "unknown section": (MODULE_HEAD + b"\x0e\x00", "14 is no known section at offset 0x8"),
    "number too long": (MODULE_HEAD + b"\x01\x80\x80\x80\x80\x80\x00", "takes more than 5 bytes"),
    "number too large": (MODULE_HEAD + b"\x01\xff\xff\xff\xff\x7f", "does not fit 32 bits"),
    "huge count": (MODULE_HEAD + section(1, b"\xff\xff\xff\xff\x0f"), "4294967295 entries of the type"),
    "name not UTF-8": (MODULE_HEAD + section(7, b"\x01\x01\xff\x00\x00"), "not UTF-8 at offset 0xc"),
    "no such function": (MODULE_HEAD + section(7, b"\x01\x01f\x00\x00"), "there is no func 0"),
    "sections swapped": (MODULE_HEAD + section(5, b"\0") + section(3, b"\0"), "out of order"),
    "bodies missing": (MODULE_HEAD + section(1, b"\x01\x60\0\0") + section(3, b"\x01\0"), "0 have a body"),
    "left-over bytes": (MODULE_HEAD + section(1, b"\0\0"), "1 bytes are left over"),
    "module for component": (COMPONENT_HEAD + section(4, MODULE_HEAD), "where a component should"),
}


@pytest.mark.parametrize("name", sorted(UNSOUND))
def test_unsound_binary_is_refused_in_one_line_with_its_offset(name: str) -> None:
    data, words = UNSOUND[name]
    with pytest.raises(GuestError, match=words) as caught:
        parse(data)
    assert "\n" not in caught.value.message


def test_components_nested_without_end_are_refused() -> None:
    data = COMPONENT_HEAD
    for _ in range(300):
        data = COMPONENT_HEAD + section(4, data)
    with pytest.raises(GuestError, match="nested more than 100 deep"):
        parse(data)


def test_types_nested_without_end_are_refused() -> None:
    data = COMPONENT_HEAD + section(7, b"\x01" + b"\x42\x01\x01" * 5000)
    with pytest.raises(GuestError, match="nested more than 100 deep"):
        parse(data)


def test_types_that_double_at_each_step_stay_short() -> None:
    doubling = b"\x6f\x02\x73\x73" + b"".join(b"\x6f\x02" + bytes([i, i]) for i in range(60))
    imported = b"\x01\x00\x01x\x03\x00" + bytes([60])
    binary = parse(COMPONENT_HEAD + section(7, leb(61) + doubling) + section(10, imported))
    assert len(binary.imports[0].type) < 1000


def test_one_huge_type_exported_many_times_is_refused() -> None:
    types = b"\x01\x60" + leb(1000) + b"\x7f" * 1000 + b"\0"
    imported = b"\x01\x00\x00\x00\x00"
    exports = leb(2000) + b"".join(b"\x06%06d\0\0" % number for number in range(2000))
    data = MODULE_HEAD + section(1, types) + section(2, imported) + section(7, exports)
    with pytest.raises(GuestError, match="are too large"):
        parse(data)


SAMPLES = [bytes(wasmtime.wat2wasm(text)) for text in (*MODULES.values(), *COMPONENTS.values())]


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A sound binary with some bytes changed, dropped or added."""
    data = bytearray(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


@settings(max_examples=300, deadline=None)
@given(st.one_of(spoiled(), st.binary(max_size=200), st.binary(max_size=200).map(MODULE_HEAD.__add__)))
@example(b"\0asm")
def test_no_bytes_make_it_fail_but_with_guest_error(data: bytes) -> None:
    try:
        binary = parse(data)
    except GuestError as error:
        assert "\n" not in error.message
        return
    assert sniff(data) == (binary.form, binary.world)


@settings(max_examples=150, deadline=None)
@given(spoiled())
def test_nothing_wasmtime_takes_is_refused(engine: wasmtime.Engine, data: bytes) -> None:
    if data[:5] != MODULE_HEAD[:5]:
        return
    try:
        wasmtime.Module.validate(engine, data)
    except wasmtime.WasmtimeError:
        return
    parse(data)
