"""What a binary can ask for, from its imports."""

import pytest

from tests.wasm_samples import COMPONENT_HEAD, component, module, section
from wasmdock.engine import assemble
from wasmdock.wasm import (
    Capability,
    Export,
    Form,
    Import,
    WasmBinary,
    World,
    capabilities,
    imports_by_interface,
    interfaces,
    parse,
)

# What it can ask for


def test_interfaces_name_the_functions_of_preview_one() -> None:
    assert interfaces(module("imports"))[-1] == "wasi_snapshot_preview1: fd_write"


def test_interfaces_of_a_component_are_its_imports() -> None:
    assert interfaces(component("instance")) == ("demo:log/sink@1.2.3",)
    assert imports_by_interface(component("instance")) == {"demo:log/sink@1.2.3": ("open", "write")}


def preview1(*names: str) -> WasmBinary:
    imports = tuple(Import("wasi_snapshot_preview1", name, "func") for name in names)
    return WasmBinary(Form.MODULE, World.COMMAND, 8, imports)


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("args_get", Capability.ARGUMENTS),
        ("environ_get", Capability.ENVIRONMENT),
        ("fd_write", Capability.STDIO),
        ("path_open", Capability.FILES),
        ("fd_prestat_get", Capability.FILES),
        ("fd_readdir", Capability.FILES),
        ("sock_accept", Capability.SOCKETS),
        ("clock_time_get", Capability.CLOCKS),
        ("poll_oneoff", Capability.CLOCKS),
        ("random_get", Capability.RANDOM),
        ("proc_exit", Capability.EXIT),
    ],
)
def test_capability_of_a_preview_one_function(name: str, capability: Capability) -> None:
    assert capabilities(preview1(name)) == {capability: (name,)}


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("wasi:cli/stdout@0.2.3", Capability.STDIO),
        ("wasi:filesystem/types@0.2.3", Capability.FILES),
        ("wasi:sockets/tcp@0.2.3", Capability.SOCKETS),
        ("wasi:http/outgoing-handler@0.2.3", Capability.HTTP),
        ("wasi:clocks/monotonic-clock@0.2.3", Capability.CLOCKS),
        ("wasi:random/random@0.2.3", Capability.RANDOM),
        ("wasi:cli/exit@0.2.3", Capability.EXIT),
        ("demo:log/sink", Capability.OTHER),
    ],
)
def test_capability_of_an_interface(name: str, capability: Capability) -> None:
    binary = WasmBinary(Form.COMPONENT, World.COMMAND, 8, (Import("", name, "instance"),))
    assert capabilities(binary) == {capability: (name,)}


def test_yielding_and_streams_ask_for_nothing() -> None:
    streams = WasmBinary(Form.COMPONENT, World.COMMAND, 8, (Import("", "wasi:io/streams@0.2.0", "instance"),))
    assert capabilities(preview1("sched_yield")) == capabilities(streams) == {}


def test_unknown_imports_are_named_as_other() -> None:
    asked = capabilities(module("imports"))
    assert asked[Capability.OTHER] == ("env.f", ".")


# What hides an import: an index that stands for something else than it does to the engine

RANDOM = """(component {}
  (type (instance (export "get-random-u64" (func (result u64)))))
  (type (instance (export "r" (type (sub resource)))))
  (import "wasi:random/random@0.2.0" (instance (type {}))))"""


@pytest.mark.parametrize(
    "before",
    [
        '(type $f (func)) (export "x" (type $f))',
        '(type $f (func)) (import "x" (type (eq $f)))',
        '(type $i (instance)) (export "x" (type $i))',
        '(type $c (component)) (import "x" (type (eq $c)))',
        '(type $f (func)) (instance $i (export "x" (type $f))) (alias export $i "x" (type))',
        '(component $c (type $f (func)) (export "x" (type $f)))'
        '(instance $i (instantiate $c)) (alias export $i "x" (type)) (type (func))',
    ],
)
def test_type_that_is_named_takes_a_type_index_whatever_it_denotes(before: str) -> None:
    text = RANDOM.format(before, 2)
    assert capabilities(parse(assemble(text.encode(), "x"))) == {Capability.RANDOM: ("wasi:random/random@0.2.0",)}


def test_type_of_a_function_is_exported_as_a_type() -> None:
    text = b'(component (type $f (func (result u8))) (export "x" (type $f)))'
    (export,) = parse(assemble(text, "x")).exports
    assert (export.kind, export.type) == ("type", "func() -> u8")


def test_interface_behind_an_unknown_code_is_not_taken_for_types_only() -> None:
    resource_only = section(7, b"\x01\x42\x01\x04\x00\x01r\x03\x01")
    imported = section(10, b"\x01\x00\x0dwasi:random/x\x05\x00")
    assert capabilities(parse(COMPONENT_HEAD + resource_only + imported)) == {}
    lost = COMPONENT_HEAD + resource_only + section(8, b"\x01\x7f") + imported
    assert capabilities(parse(lost)) == {Capability.RANDOM: ("wasi:random/x",)}


def test_environment_whose_functions_are_unknown_may_give_arguments() -> None:
    name = "wasi:cli/environment@0.2.3"
    functions = (Export("get-environment", "func"),)
    unread, read = Import("", name, "instance"), Import("", name, "instance", items=functions)
    asked = [capabilities(WasmBinary(Form.COMPONENT, World.COMMAND, 8, (each,))) for each in (unread, read)]
    assert [list(each) for each in asked] == [[Capability.ARGUMENTS, Capability.ENVIRONMENT], [Capability.ENVIRONMENT]]
