"""Form and world from headers and export names, and what bytes are that are not Wasm."""

import pytest
import wasmtime
import wasmtime.component

from tests.wasm_samples import COMPONENTS, MODULES, NOT_WASM, module
from wasmdock.errors import GuestError
from wasmdock.wasm import Form, World, parse, sniff

# Form and world


@pytest.mark.parametrize(
    ("name", "world"), [("command", World.COMMAND), ("reactor", World.LIBRARY), ("empty", World.LIBRARY)]
)
def test_world_of_a_module_is_command_where_it_exports_start(name: str, world: World) -> None:
    assert sniff(bytes(wasmtime.wat2wasm(MODULES[name]))) == (Form.MODULE, world)


@pytest.mark.parametrize(("name", "world"), [("run", World.COMMAND), ("http", World.HTTP), ("function", World.LIBRARY)])
def test_world_of_a_component_comes_from_the_interfaces_it_exports(name: str, world: World) -> None:
    assert sniff(bytes(wasmtime.wat2wasm(COMPONENTS[name]))) == (Form.COMPONENT, world)


def test_a_memory_called_start_makes_no_command() -> None:
    data = bytes(wasmtime.wat2wasm('(module (memory (export "_start") 1))'))
    assert sniff(data)[1] is World.LIBRARY


def test_http_world_is_known_by_the_name_of_preview_three_too() -> None:
    wat = COMPONENTS["http"].replace("incoming-handler@0.2.0", "handler@0.3.0")
    assert sniff(bytes(wasmtime.wat2wasm(wat)))[1] is World.HTTP


def test_reactor_is_a_library_to_be_initialised_first() -> None:
    assert module("reactor").reactor
    assert not module("command").reactor


@pytest.mark.parametrize("name", sorted({*MODULES, *COMPONENTS}))
def test_sniff_agrees_with_parse(name: str) -> None:
    data = bytes(wasmtime.wat2wasm(MODULES.get(name) or COMPONENTS[name]))
    binary = parse(data)
    assert sniff(data) == (binary.form, binary.world)


# What is refused, and how


@pytest.mark.parametrize("name", sorted(NOT_WASM))
def test_bytes_that_are_not_wasm_are_told_for_what_they_are(name: str) -> None:
    data, words = NOT_WASM[name]
    with pytest.raises(GuestError, match="not a Wasm binary: .*" + words.replace("(", r"\(")):
        parse(data)
    with pytest.raises(GuestError):
        sniff(data)
