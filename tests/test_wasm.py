"""What is read out of modules and components, held against what wasmtime says of them."""

from pathlib import Path

import pytest
import wasmtime
import wasmtime.component

from tests.wasm_samples import (
    COMPONENTS,
    MODULE_HEAD,
    MODULES,
    component,
    module,
    section,
)
from wasmdock.wasm import (
    Export,
    FuncType,
    Import,
    Memory,
    Section,
    WasmBinary,
    parse,
)

GUESTS = sorted(path.name for path in (Path(__file__).parent / "guests").glob("*.wat"))


@pytest.fixture(scope="module")
def engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    for feature in ("threads", "memory64", "gc", "exceptions", "function_references", "custom_page_sizes"):
        setattr(config, f"wasm_{feature}", True)
    config.shared_memory = True
    return wasmtime.Engine(config)


# Agreement with wasmtime


# wasmtime's C API aborts the whole process when asked what v128 or a GC reference is.
TELLABLE = {"i32", "i64", "f32", "f64", "funcref", "externref"}
THEIR_NAMES = {"anyref": "externref"}  # what wasmtime's Python package calls it


def their_types(types: list[wasmtime.ValType]) -> tuple[str, ...]:
    return tuple(THEIR_NAMES.get(str(each), str(each)) for each in types)


def agree(our: Import | Export, their: wasmtime.ImportType | wasmtime.ExportType, binary: WasmBinary) -> None:
    assert our.name == their.name
    kind = their.type
    if isinstance(kind, wasmtime.FuncType):
        assert our.kind == "func"
        assert our.func is not None
        if {*our.func.params, *our.func.results} <= TELLABLE:
            told = FuncType(their_types(kind.params), their_types(kind.results))
            assert told == our.func
    elif isinstance(kind, wasmtime.MemoryType):
        limits = (kind.limits.min, kind.limits.max, kind.is_64)
        assert limits in [(each.minimum, each.maximum, each.memory64) for each in binary.memories]
    elif isinstance(kind, wasmtime.TableType):
        size = (kind.limits.min, kind.limits.max)
        assert size in [(each.minimum, each.maximum) for each in binary.tables]
    elif isinstance(kind, wasmtime.GlobalType):
        assert (our.kind, our.type.startswith("mut ")) == ("global", kind.mutable)
        if our.type.removeprefix("mut ") in TELLABLE:
            assert our.type.removeprefix("mut ") == their_types([kind.content])[0]
    else:
        assert our.kind == "tag"


def wat_of(name: str) -> str:
    path = Path(__file__).parent / "guests" / name
    return path.read_text() if name.endswith(".wat") else (MODULES | COMPONENTS)[name]


def is_component(name: str) -> bool:
    return name in COMPONENTS or name.startswith("component_")


# The C API has no switch for pages of another size.
MODULE_NAMES = [name for name in (*MODULES, *GUESTS) if not is_component(name) and name != "page size"]
# wasmtime 50 does not implement re-exporting an imported function.
COMPONENT_NAMES = [
    name for name in (*GUESTS, *COMPONENTS) if is_component(name) and name not in ("instance", "nested component")
]


@pytest.mark.parametrize("name", MODULE_NAMES)
def test_imports_exports_and_types_agree_with_wasmtime(name: str, engine: wasmtime.Engine) -> None:
    data = bytes(wasmtime.wat2wasm(wat_of(name)))
    binary, theirs = parse(data), wasmtime.Module(engine, data)
    for our, their in zip(binary.imports, theirs.imports, strict=True):
        assert our.module == their.module
        agree(our, their, binary)
    for export, their_export in zip(binary.exports, theirs.exports, strict=True):
        agree(export, their_export, binary)


@pytest.mark.parametrize("name", COMPONENT_NAMES)
def test_imports_and_exports_of_components_agree_with_wasmtime(name: str, engine: wasmtime.Engine) -> None:
    data = bytes(wasmtime.wat2wasm(wat_of(name)))
    binary = parse(data)
    theirs = wasmtime.component.Component(engine, data).type
    # Types that are only named (not resources) are no imports to wasmtime.
    assert sorted(theirs.imports(engine)) == sorted(each.name for each in binary.imports if each.kind != "type")
    assert sorted(theirs.exports(engine)) == sorted(each.name for each in binary.exports)


# What a module holds


def test_function_type_lists_parameters_and_results() -> None:
    (two,) = module("multi value").exports
    assert two.func == FuncType(("i32", "i64"), ("f32", "f64"))
    assert two.type == "(i32, i64) -> (f32, f64)"


def test_reference_types_are_named_as_in_the_text_format() -> None:
    make = module("gc types").exports[0]
    assert make.type == "((ref null 1), i31ref) -> (ref 0)"


def test_memories_tell_limits_sharing_width_and_origin() -> None:
    shared, big, plain = module("memories").memories
    assert shared == Memory(1, 16, shared=True, imported=True, name="env.shared")
    assert big == Memory(2, 5, memory64=True, name="big")
    assert plain == Memory(3)


def test_memory_with_pages_of_one_byte_says_so() -> None:
    assert module("page size").memories[0].page == 1


def test_tables_tell_element_type_and_limits() -> None:
    functions, references = module("references").tables
    assert (functions.name, functions.element, functions.minimum, functions.maximum) == ("t", "funcref", 3, 7)
    assert (references.element, references.maximum) == ("externref", None)


def test_globals_tell_type_and_constant_value() -> None:
    values = {each.name: (each.type, each.value) for each in module("globals").globals if each.name}
    assert values["__heap_base"] == ("i32", 1048576)
    assert values["low"] == ("i32", -1)
    assert values["wide"] == ("i64", -5000000000)
    assert values["half"] == ("f32", 0.5)
    assert values["nan"][1] != values["nan"][1]


def test_global_that_is_computed_or_a_reference_has_no_value() -> None:
    values = {each.name: each.value for each in module("globals").globals}
    assert values["sum"] is None
    assert values["none"] is None


def test_thing_exported_twice_keeps_its_first_name() -> None:
    assert module("several names of one thing").globals[0].name == "first"


def test_tags_are_imports_and_exports_of_their_own_kind() -> None:
    binary = module("tags")
    assert binary.imports[0] == Import("env", "oops", "tag", "(i32)")
    assert [each.kind for each in binary.exports] == ["tag", "func"]


def test_data_size_counts_the_bytes_that_fill_memory() -> None:
    assert module("bulk memory").data_size == 7


def test_start_function_is_noted() -> None:
    assert module("start").start == 1
    assert module("empty").start is None


def test_name_comes_from_the_name_section() -> None:
    assert module("names").name == "calculator"


def test_section_sizes_add_up_to_the_file() -> None:
    binary = module("bulk memory")
    assert sum(each.size for each in binary.sections) == binary.size - 8


def test_custom_sections_are_named() -> None:
    data = MODULE_HEAD + section(0, b"\x04note" + b"hello")
    assert parse(data).sections == (Section("custom", 12, "note"),)


def test_producers_and_target_features_are_read() -> None:
    producers = b"\x09producers\x01\x0cprocessed-by\x01\x05rustc\x061.91.0"
    features = b"\x0ftarget_features\x02+\x07simd128-\x07threads"
    binary = parse(MODULE_HEAD + section(0, producers) + section(0, features))
    assert binary.producers == {"processed-by": (("rustc", "1.91.0"),)}
    assert binary.target_features == ("simd128",)


def test_spoiled_custom_section_spoils_nothing_else() -> None:
    binary = parse(MODULE_HEAD + section(0, b"\x09producers\xff\xff"))
    assert binary.producers == {}


# What a component holds


def test_component_function_is_told_in_wit() -> None:
    (add,) = component("function").exports
    assert (add.kind, add.type) == ("func", "func(a: u32, b: s8) -> u32")


def test_component_types_are_told_in_wit() -> None:
    (take,) = component("types").imports
    assert take.type == (
        "func(a: list<string>, b: option<u8>, c: tuple<f32, f64, char, bool>, d: result<u64, string>, "
        "e: result, f: result<_, s16>) -> list<option<string>>"
    )


def test_named_component_types_are_told_by_name() -> None:
    imports = {each.name: each.type for each in component("named types").imports}
    assert imports["point"] == "record {x: f64, y: f64}"
    assert imports["shape"] == "variant {dot, line(point)}"
    assert imports["draw"] == "func(s: shape, m: marks) -> color"


def test_interface_lists_its_functions() -> None:
    (sink,) = component("instance").imports
    assert [(item.name, item.kind) for item in sink.items] == [
        ("handle", "resource"), ("open", "func"), ("write", "func"),
    ]  # fmt: skip
    assert sink.items[2].type == "func(to: borrow<handle>, text: string)"


def test_interface_exported_from_a_nested_component_lists_its_functions() -> None:
    (api,) = component("nested component").exports
    assert [(item.name, item.type) for item in api.items] == [("g", "func() -> u8")]


def test_component_has_the_memories_and_globals_of_its_modules() -> None:
    binary = component("function")
    assert binary.memories == (Memory(2, 4, name="memory"),)
    assert binary.globals[0].value == 4096


def test_component_sums_the_sections_of_its_modules() -> None:
    inside = [each for each in component("function").sections if each.inside]
    modules = sum(each.size for each in component("function").sections if each.name == "core module")
    assert {each.name for each in inside} >= {"type", "function", "export", "code"}
    assert 0 < modules - sum(each.size for each in inside) <= 12


def test_unknown_canonical_builtin_costs_the_types_and_not_the_component() -> None:
    data = bytes(wasmtime.wat2wasm(COMPONENTS["function"]))
    head, export = data[:8], data[8:]
    binary = parse(head + section(8, b"\x01\x7f") + export)
    assert [(each.name, each.type) for each in binary.exports] == [("add", "func")]
