"""What `inspect` shows of a binary, as text and as JSON."""

import json
import math

import pytest

from tests.wasm_samples import COMPONENTS, MODULES, component, module
from wasmdock.inspection import render, size, to_json
from wasmdock.wasm import Export, Form, Global, Import, WasmBinary, World


def test_text_of_a_library_fits_one_screen() -> None:
    text, _, sections = render(component("function"), {"file": "add.wasm"}).partition("sections of ")
    assert text == (
        "file:      add.wasm\n"
        "form:      component\n"
        "world:     library (its functions are called one by one)\n"
        "asks for:  nothing\n"
        "\n"
        "exports\n"
        "  add  func(a: u32, b: s8) -> u32\n"
        "\n"
        "memories\n"
        "  memory  from 2 pages (128 KiB)  to 4 pages (256 KiB)\n"
        "\n"
        "globals\n"
        "  __heap_base  i32  4096\n"
        "\n"
    )
    assert "  core module  " in sections
    assert "    code  " in sections


def test_text_names_what_it_asks_for_by_interface() -> None:
    lines = render(module("imports")).splitlines()
    assert "asks for:  stdio, other" in lines
    assert "  wasi_snapshot_preview1  fd_write" in lines


def test_text_says_where_only_types_of_an_interface_are_used() -> None:
    items = (Export("datetime", "type", "u64"),)
    binary = WasmBinary(Form.COMPONENT, World.LIBRARY, 8, (Import("", "a:b/c", "instance", items=items),))
    assert "  a:b/c  (types only)" in render(binary)


def test_text_lists_an_interface_with_its_functions() -> None:
    text = render(component("nested component"))
    assert "  demo:all/api@0.1.0  instance\n    g                 func() -> u8" in text


def test_text_marks_shared_imported_and_wide_memories() -> None:
    text = render(module("memories"))
    assert "env.shared  from 1 page (64 KiB)    to 16 pages (1 MiB)   imported, shared" in text
    assert "big         from 2 pages (128 KiB)  to 5 pages (320 KiB)  64-bit" in text
    assert "(unnamed)   from 3 pages (192 KiB)  without a maximum" in text


def test_text_counts_what_would_fill_the_screen() -> None:
    exports = tuple(Export(f"f{i}", "func", "()") for i in range(1000))
    text = render(WasmBinary(Form.MODULE, World.LIBRARY, 8, exports=exports))
    assert len(text.splitlines()) < 60
    assert "... 1000 in all" in text


def test_nothing_in_a_binary_can_move_the_terminal() -> None:
    bad = "\x1b[2J\n"
    exports = (Export(bad, "func", f"func({bad}: u8)"),)
    binary = WasmBinary(Form.COMPONENT, World.LIBRARY, 8, exports=exports, name=bad, producers={bad: ((bad, bad),)})
    assert "\x1b" not in render(binary, {"file": bad})


@pytest.mark.parametrize("name", [*MODULES, *COMPONENTS])
def test_json_form_is_plain_json(name: str) -> None:
    binary = module(name) if name in MODULES else component(name)
    assert json.loads(json.dumps(to_json(binary), allow_nan=False)) == to_json(binary)


def test_json_of_a_function_has_parameters_and_results() -> None:
    assert to_json(module("multi value"))["exports"] == [
        {
            "name": "two",
            "kind": "func",
            "type": "(i32, i64) -> (f32, f64)",
            "params": ["i32", "i64"],
            "results": ["f32", "f64"],
        }
    ]


def test_json_writes_numbers_that_json_lacks_as_text() -> None:
    binary = WasmBinary(Form.MODULE, World.LIBRARY, 8, globals=(Global("g", "f64", value=math.inf),))
    assert to_json(binary)["globals"][0]["value"] == "inf"


def test_json_keys_are_the_documented_ones() -> None:
    assert list(to_json(module("empty"))) == [
        "form", "world", "size", "name", "reactor", "start", "data_size", "capabilities", "interfaces",
        "imports", "exports", "memories", "tables", "globals", "sections", "producers", "target_features",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (65536, "64 KiB"), (1114112, "1.1 MiB"), (1 << 80, "1024 ZiB")]
)
def test_sizes_are_given_in_binary_units(count: int, text: str) -> None:
    assert size(count) == text
