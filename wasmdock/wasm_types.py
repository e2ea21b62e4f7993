"""What a Wasm binary holds, as immutable values: imports, exports, memories, tables, globals, sections.

Types are given as text, in the words of the text format for modules (`(i32, i64) -> f32`,
`(ref null 3)`) and of WIT for components (`func(name: string) -> result<u32, error-code>`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from wasmdock.wasm_sniff import Form, World

PAGE = 65536
_SHOWN = 16  # longer lists of types are cut in text; `params` and `results` keep them all


def _listed(types: tuple[str, ...]) -> str:
    if len(types) <= _SHOWN:
        return ", ".join(types)
    return ", ".join(types[:_SHOWN]) + f", ... {len(types) - _SHOWN} more"


@dataclass(frozen=True, slots=True)
class FuncType:
    """A core function's type: value types such as i32, i64, f32, f64, v128, funcref, externref."""

    params: tuple[str, ...] = ()
    results: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Give `(i32, i64) -> f32`; without results `()`, with several `() -> (i32, i64)`."""
        text = f"({_listed(self.params)})"
        if not self.results:
            return text
        return f"{text} -> {self.results[0] if len(self.results) == 1 else f'({_listed(self.results)})'}"


@dataclass(frozen=True, slots=True)
class Import:
    """What the binary needs from outside.

    `kind`: func, table, memory, global, tag in a module; func, instance, type, resource, component,
    module, value in a component, where `module` is empty, `name` is the interface and `items` are the
    functions and types it takes from there. `func` is set for core functions only.
    """

    module: str
    name: str
    kind: str
    type: str = ""
    func: FuncType | None = None
    items: tuple["Export", ...] = ()


@dataclass(frozen=True, slots=True)
class Export:
    """What the binary gives: kinds, `func` and `items` as for `Import`."""

    name: str
    kind: str
    type: str = ""
    func: FuncType | None = None
    items: tuple["Export", ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    """A memory's limits in pages of `page` bytes; `maximum` None: bounded by the address width alone.

    `name` is its export name, or `module.name` of an imported one, or empty.
    """

    minimum: int
    maximum: int | None = None
    shared: bool = False
    memory64: bool = False
    imported: bool = False
    name: str = ""
    page: int = PAGE


@dataclass(frozen=True, slots=True)
class Table:
    """A table's limits in elements, and the type of an element; `name` as for `Memory`."""

    element: str
    minimum: int
    maximum: int | None = None
    shared: bool = False
    table64: bool = False
    imported: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True)
class Global:
    """A global; `value` where it starts as a plain constant (i32 and i64 signed); `name` as for `Memory`."""

    name: str
    type: str
    mutable: bool = False
    value: int | float | None = None
    imported: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A section and the bytes it takes in the file, header included.

    `custom` names a custom section. `inside` is empty at the top level, else what holds it: the
    sections of a component's core modules are summed by kind under `core module`.
    """

    name: str
    size: int
    custom: str = ""
    inside: str = ""


@dataclass(frozen=True, slots=True)
class WasmBinary:
    """A Wasm binary: what it is, what it needs, what it gives and what it weighs.

    `size` and `data_size` (bytes that fill memories at start) are bytes; `start` is the index of the
    function run at instantiation; `reactor` says that `_initialize` must be called first; `producers`
    maps language, sdk, processed-by to (name, version) pairs. A component's memories, tables, globals,
    data, producers and features are those of its core modules.
    """

    form: Form
    world: World
    size: int
    imports: tuple[Import, ...] = ()
    exports: tuple[Export, ...] = ()
    memories: tuple[Memory, ...] = ()
    tables: tuple[Table, ...] = ()
    globals: tuple[Global, ...] = ()
    sections: tuple[Section, ...] = ()
    producers: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    name: str = ""
    data_size: int = 0
    target_features: tuple[str, ...] = ()
    start: int | None = None
    reactor: bool = False
