"""What a binary can ask for, from its imports."""

import pytest

from tests.wasm_samples import (
    component,
    module,
)
from wasmdock.wasm import (
    Capability,
    Form,
    Import,
    WasmBinary,
    World,
    capabilities,
    imports_by_interface,
    interfaces,
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
        ("wasi:cli/environment@0.2.3", Capability.ENVIRONMENT),
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
