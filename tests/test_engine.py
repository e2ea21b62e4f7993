"""Compiled code: made once per content, fetched afterwards, made again where it is not what it should be."""

import hashlib
from pathlib import Path

import pytest
import wasmtime

from tests.conftest import GUESTS
from wasmdock.code_cache import CodeCache
from wasmdock.engine import EndKind, Engine, Grants, assemble, load_command, version
from wasmdock.engine.call import load_library
from wasmdock.errors import GuestError
from wasmdock.wasm_holdings import count_holdings
from wasmdock.watch import Guard

START = b'(module (func (export "_start")))'


class CountingCache(CodeCache):
    """A code cache that remembers what it was asked and what it gave."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.hits: list[str] = []
        self.puts: list[str] = []

    def get(self, key: str) -> bytes | None:
        found = super().get(key)
        if found is not None:
            self.hits.append(key)
        return found

    def put(self, key: str, code: bytes) -> None:
        self.puts.append(key)
        super().put(key, code)


@pytest.fixture
def cache(tmp_path: Path) -> CountingCache:
    return CountingCache(tmp_path / "code")


def guest(name: str) -> bytes:
    return assemble((GUESTS / f"{name}.wat").read_bytes(), name)


def test_same_binary_is_compiled_once(cache: CountingCache) -> None:
    for _ in range(3):
        Engine(cache).module(assemble(START, "x"))
    assert (len(cache.puts), len(cache.hits)) == (1, 2)


def test_other_binary_has_code_of_its_own(cache: CountingCache) -> None:
    Engine(cache).module(guest("hello"))
    Engine(cache).module(guest("trap"))
    assert (len(set(cache.puts)), cache.hits) == (2, [])


def test_component_is_compiled_once(cache: CountingCache) -> None:
    for _ in range(2):
        Engine(cache).component(guest("component_cli"))
    assert (len(cache.puts), len(cache.hits)) == (1, 1)


def test_code_compiled_for_fuel_is_not_taken_for_code_without(cache: CountingCache) -> None:
    for metered in (True, False):
        Engine(cache, metered).module(guest("spin"))
    assert (len(set(cache.puts)), cache.hits) == (2, [])


def test_code_of_another_wasmtime_is_not_taken(cache: CountingCache, monkeypatch: pytest.MonkeyPatch) -> None:
    Engine(cache).module(guest("hello"))
    monkeypatch.setattr("wasmdock.engine.compiler.version", lambda: "49.0.0")
    Engine(cache).module(guest("hello"))
    assert (len(set(cache.puts)), cache.hits) == (2, [])


def test_spoiled_code_is_compiled_again(cache: CountingCache, tmp_path: Path) -> None:
    Engine(cache).module(guest("hello"))
    [path] = (tmp_path / "code").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:1000] + bytes(1000) + whole[2000:])
    assert Engine(cache).module(guest("hello")).exports
    assert (len(cache.puts), cache.hits) == (2, [])
    assert path.read_bytes() == whole


def test_code_that_wasmtime_refuses_is_compiled_again(cache: CountingCache, tmp_path: Path) -> None:
    """A sound digest over code of an engine with another configuration: the key should never allow it."""
    Engine(cache).module(guest("hello"))
    [path] = (tmp_path / "code").iterdir()
    foreign = bytes(wasmtime.Module(wasmtime.Engine(), guest("hello")).serialize())
    path.write_bytes(hashlib.sha256(foreign).digest() + foreign)
    assert Engine(cache).module(guest("hello")).exports
    assert foreign not in path.read_bytes()


def test_engine_without_a_cache_compiles_each_time() -> None:
    assert Engine().module(guest("hello")).exports


def test_bytes_that_are_not_wasm_are_the_guests_fault() -> None:
    with pytest.raises(GuestError, match=r"^compiling: ") as raised:
        Engine().module(b"\0asm nor is this")
    assert "\n" not in raised.value.message


def test_invalid_code_is_named_with_its_offset() -> None:
    sound, drop_of_nothing = b"\x0a\x04\x01\x02\x00\x0b", b"\x0a\x05\x01\x03\x00\x1a\x0b"
    with pytest.raises(GuestError, match=r"^compiling: .*WebAssembly code at offset 35: type mismatch") as raised:
        Engine().module(assemble(START, "x").replace(sound, drop_of_nothing))
    assert "\n" not in raised.value.message


def test_binary_that_is_too_large_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wasmdock.program_size._bounds", [10])
    with pytest.raises(GuestError, match="compiling: 36 bytes are more than the 10 that a program may have"):
        Engine().module(assemble(START, "x"))


def test_import_that_nobody_provides_is_named() -> None:
    with pytest.raises(GuestError, match=r"resolving the guest's imports: .*env::missing") as raised:
        load_command(Engine(), guest("needs_import"), is_component=False)
    assert "wasmdock inspect" in raised.value.hint


def test_library_import_that_nobody_provides_is_named() -> None:
    with pytest.raises(GuestError, match=r"resolving the guest's imports: .*env::missing"):
        load_library(Engine(), guest("needs_import"), is_component=False)


def test_component_import_that_nobody_provides_is_named() -> None:
    text = (GUESTS / "component_fails.wat").read_text().replace("(component\n", '(component (import "a:b/c" (func))\n')
    data = assemble(text.encode(), "x")
    with pytest.raises(GuestError, match=r"resolving the guest's imports: .*a:b/c"):
        load_command(Engine(), data, is_component=True).run(Grants(), Guard())


def test_module_without_the_function_to_start_names_those_it_has() -> None:
    with pytest.raises(GuestError, match='starting the guest at "_start": it exports no such function') as raised:
        load_command(Engine(), guest("add"), is_component=False)
    assert raised.value.hint == "it exports: add, add64, dadd, fadd, is_thirteen, nothing, swap"


def test_start_function_with_parameters_is_refused() -> None:
    with pytest.raises(GuestError, match='at "add": the function takes parameters or gives results'):
        load_command(Engine(), guest("add"), is_component=False, export="add")


def test_any_export_without_parameters_can_be_started() -> None:
    program = load_command(Engine(), guest("add"), is_component=False, export="nothing")
    assert program.run(Grants(), Guard()).kind is EndKind.EXITED


def test_component_without_run_cannot_be_started() -> None:
    with pytest.raises(GuestError, match="it does not export wasi:cli/run"):
        load_command(Engine(), guest("component_lib"), is_component=True)


def test_text_form_is_assembled_to_the_binary() -> None:
    assert assemble(START, "x").startswith(b"\0asm\1\0\0\0")


def test_mistake_in_text_form_is_named_with_line_and_column() -> None:
    with pytest.raises(GuestError, match=r'^assembling "broken.wat": .* at line 2, column 4$'):
        assemble(b"(module\n  (fun))", "broken.wat")


@pytest.mark.parametrize(
    "name, waits", [("sleep_hour", True), ("spin", False), ("hello", False), ("component_cli", False)]
)
def test_program_says_whether_it_may_wait_in_a_host_call(name: str, waits: bool) -> None:
    program = load_command(Engine(), guest(name), is_component=name.startswith("component"))
    assert program.may_block is waits


def test_version_is_that_of_the_installed_wasmtime() -> None:
    from importlib.metadata import version as installed

    assert version() == installed("wasmtime")


def test_library_lists_its_functions_with_their_types() -> None:
    functions = load_library(Engine(), guest("add"), is_component=False).functions
    assert str(functions["swap"]) == "(i32, i64) -> (i64, i32)"
    assert str(functions["nothing"]) == "()"


def test_component_lists_its_functions_with_their_wit_types() -> None:
    functions = load_library(Engine(), guest("component_lib"), is_component=True).functions
    assert str(functions["divide"]) == "(a: u32, b: u32) -> result<u32, string>"
    assert str(functions["wasmdock:samples/numbers@0.1.0#double"]) == "(number: u32) -> u32"


def test_library_call_gives_its_results() -> None:
    ending, results = load_library(Engine(), guest("add"), is_component=False).call("swap", [1, 2], Grants(), Guard())
    assert (ending.kind, results) == (EndKind.EXITED, [2, 1])


def test_component_call_gives_its_result() -> None:
    library = load_library(Engine(), guest("component_lib"), is_component=True)
    ending, results = library.call("sum", [[1, 2, 3]], Grants(), Guard())
    assert (ending.kind, results) == (EndKind.EXITED, [6])


def test_library_is_initialised_before_its_first_call() -> None:
    text = b"""(module (global $ready (mut i32) (i32.const 0))
      (func (export "_initialize") (global.set $ready (i32.const 1)))
      (func (export "ready") (result i32) (global.get $ready)))"""
    _, results = load_library(Engine(), assemble(text, "x"), is_component=False).call("ready", [], Grants(), Guard())
    assert results == [1]


LIBRARY = "(component $l (core module $m (memory 1) (table 1 funcref)) (core instance (instantiate $m)))"


@pytest.mark.parametrize(
    "text, memories, tables",
    [
        ("(module)", 0, 0),
        ("(module (memory 1) (memory 2) (table 1 funcref))", 2, 1),
        ('(module (import "a" "m" (memory 1)))', 0, 0),
        ("(component (core module (memory 1)))", 0, 0),
        ("(component (core module $m (memory 1)) (core instance (instantiate $m)))", 1, 0),
        ("(component (core module $m (memory 1))" + 2 * "(core instance (instantiate $m))" + ")", 2, 0),
        (f"(component {LIBRARY} (instance (instantiate $l)) (instance (instantiate $l)))", 2, 2),
        (f"(component {LIBRARY} (component (alias outer 1 $l (component $o)) (instance (instantiate $o))))", 0, 0),
        ("(component (core module $m (memory 1)) (component $l (alias outer 1 $m (core module $o))"
         "(core instance (instantiate $o))) (instance (instantiate $l)) (instance (instantiate $l)))", 2, 0),
        ('(component (component $l (import "m" (core module $o)) (core instance (instantiate $o)))'
         '(core module $m (memory 1)) (instance (instantiate $l (with "m" (core module $m)))))', 1, 0),
        ('(component (core module $m (memory 1) (func (export "f"))) (core instance $i (instantiate $m))'
         '(core instance $j (export "g" (func $i "f"))) (core instance (instantiate $m)))', 2, 0),
    ],
)  # fmt: skip
def test_memories_and_tables_are_counted_as_often_as_modules_are_instantiated(
    text: str, memories: int, tables: int
) -> None:
    assert count_holdings(assemble(text.encode(), "x")) == (memories, tables)


def test_deeply_nested_component_is_counted_without_recursion() -> None:
    data = assemble(b"(component)", "x")
    for _ in range(2000):
        size = bytes([len(data) & 0x7F | 0x80, len(data) >> 7 & 0x7F | 0x80, len(data) >> 14])
        data = data[:8] + b"\x04" + size + data
    assert count_holdings(data) == (0, 0)
