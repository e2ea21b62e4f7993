"""Bytes -> WasmBinary: what a Wasm binary is, what it asks for and what it gives, with no engine at hand."""

from wasmdock.capabilities import Capability, capabilities
from wasmdock.wasm_component import Component
from wasmdock.wasm_custom import Notes
from wasmdock.wasm_reader import Reader
from wasmdock.wasm_sections import CoreModule
from wasmdock.wasm_sniff import Form, World, component_world, core_world, form_of, sniff
from wasmdock.wasm_types import Export, FuncType, Global, Import, Memory, Section, Table, WasmBinary
from wasmdock.wasm_wit import Scope

__all__ = [
    "Capability", "Export", "Form", "FuncType", "Global", "Import", "Memory", "Section", "Table",
    "WasmBinary", "World", "capabilities", "imports_by_interface", "interfaces", "parse", "sniff",
]  # fmt: skip


def parse(data: bytes) -> WasmBinary:
    """Read a Wasm binary, module or component, without looking into function bodies.

    Raises GuestError, one line with the offset, for anything that is not sound Wasm, and says what the
    bytes are instead where it can tell. Time and memory are linear in `len(data)`.
    """
    if form_of(data) is Form.MODULE:
        return _module(data)
    return _component(data)


def imports_by_interface(binary: WasmBinary) -> dict[str, tuple[str, ...]]:
    """What it imports by where from: a core module name or a component's interface -> function names.

    An interface of which only types are used has no names; a component's function imported on its own
    stands under its own name, and a core import that is no function with its kind (`memory memory`).
    """
    found: dict[str, list[str]] = {}
    for each in binary.imports:
        if binary.form is Form.COMPONENT:
            names = [item.name for item in each.items if item.kind == "func"]
            found.setdefault(each.name, []).extend(names)
        else:
            name = each.name if each.kind == "func" else f"{each.kind} {each.name}"
            found.setdefault(each.module, []).append(name)
    return {interface: tuple(names) for interface, names in found.items()}


def interfaces(binary: WasmBinary) -> tuple[str, ...]:
    """What it can ask for, one line each: `wasi_snapshot_preview1: fd_write, proc_exit` or an interface."""
    by_interface = imports_by_interface(binary)
    if binary.form is Form.COMPONENT:
        return tuple(by_interface)
    return tuple([f"{module}: {', '.join(names)}" for module, names in by_interface.items()])


def _module(data: bytes) -> WasmBinary:
    module = CoreModule(Reader(data, 8))
    functions = [export.name for export in module.exports if export.kind == "func"]
    return WasmBinary(
        form=Form.MODULE,
        world=core_world(functions),
        size=len(data),
        imports=tuple(module.imports),
        exports=tuple(module.exports),
        memories=tuple(module.memories),
        tables=tuple(module.tables),
        globals=tuple(module.globals),
        sections=tuple(module.sections),
        producers=_producers(module.notes),
        name=module.notes.name,
        data_size=module.data_size,
        target_features=tuple(module.notes.features),
        start=module.start,
        reactor="_initialize" in functions,
    )


def _component(data: bytes) -> WasmBinary:
    component = Component(Reader(data, 8), Scope())
    imports, exports = component.interface()
    return WasmBinary(
        form=Form.COMPONENT,
        world=component_world([export.name for export in exports]),
        size=len(data),
        imports=tuple([Import("", each.name, each.kind, each.type, None, each.items) for each in imports]),
        exports=exports,
        memories=tuple(component.memories),
        tables=tuple(component.tables),
        globals=tuple(component.globals),
        sections=component.all_sections(),
        producers=_producers(component.notes),
        name=component.notes.name,
        data_size=component.data_size,
        target_features=tuple(component.notes.features),
    )


def _producers(notes: Notes) -> dict[str, tuple[tuple[str, str], ...]]:
    return {field: tuple(values) for field, values in notes.producers.items()}
