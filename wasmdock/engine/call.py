"""Libraries: an exported function called by name, in an instance of its own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import wasmtime
from wasmtime import component
from wasmtime.component import _types as wit_types

from wasmdock.engine.compiler import Engine
from wasmdock.engine.endings import Ending, EndKind, ending_of, import_error
from wasmdock.engine.exits import define_exit
from wasmdock.engine.instance import FreshStore, Grants
from wasmdock.errors import GuestError
from wasmdock.wasm import parse
from wasmdock.wasm_holdings import count_holdings
from wasmdock.watch import Guard
from wasmdock.wit import Wit
from wasmdock.wit_values import Makers

MAKERS = Makers(record=component.Record, variant=component.Variant)
_SIMPLE = {
    **{f"{letter}{bits}".upper(): f"{letter}{bits}" for letter in "su" for bits in (8, 16, 32, 64)},
    "Bool": "bool",
    "F32": "f32",
    "F64": "f64",
    "Char": "char",
    "String": "string",
}
_CALLABLE = ("i32", "i64", "f32", "f64", "funcref", "externref")
_DEEPEST = 64  # of nested WIT types; the component model's own limit is 100
_MOST_TYPES = 10_000  # in one function's type, written out: shared parts of a few bytes can stand for billions


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes and gives: names with core types (text such as `i32`) or WIT types."""

    params: tuple[tuple[str, "str | Wit"], ...]
    results: tuple["str | Wit", ...]

    def __str__(self) -> str:
        """Give `(a: u32, b: string) -> list<u8>`, names left out where there are none."""
        params = ", ".join(f"{name}: {kind}" if name else str(kind) for name, kind in self.params)
        results = ", ".join(str(kind) for kind in self.results)
        if len(self.results) > 1:
            results = f"({results})"
        return f"({params}) -> {results}" if results else f"({params})"


class Signatures(Mapping[str, Signature]):
    """The types of a component's functions, each read when it is asked for.

    Asking for one raises GuestError where it is too large to be written out.
    """

    def __init__(self, functions: Mapping[str, wit_types.FuncType]) -> None:
        """Read nothing yet."""
        self._functions = functions

    def __getitem__(self, name: str) -> Signature:
        """Read one function's type."""
        kind, budget = self._functions[name], iter(range(_MOST_TYPES))
        try:
            params = tuple((each, wit_of(part, budget)) for each, part in kind.params)
            return Signature(params, () if kind.result is None else (wit_of(kind.result, budget),))
        except OverflowError as error:
            raise GuestError(f'reading the type of "{name}": it has more than {_MOST_TYPES} parts') from error

    def __contains__(self, name: object) -> bool:
        """Whether there is such a function, whatever its type."""
        return name in self._functions

    def __iter__(self) -> Iterator[str]:
        """Give the names."""
        return iter(self._functions)

    def __len__(self) -> int:
        """Count them."""
        return len(self._functions)


class ModuleLibrary:
    """The functions a core module exports."""

    def __init__(self, engine: Engine, data: bytes) -> None:
        """Compile it and resolve its imports from WASI preview 1. Raises GuestError."""
        self._engine = engine
        self._module, self._data = engine.module(data), data
        self._holdings = count_holdings(data)
        linker = wasmtime.Linker(engine.raw_engine)
        linker.define_wasi()
        define_exit(linker)
        try:
            self._pre = linker.instantiate_pre(self._module)
        except wasmtime.WasmtimeError as error:
            raise import_error(error) from error
        # Types from our own reader: wasmtime's C API aborts the process on v128 and GC types.
        self.functions: Mapping[str, Signature] = {
            each.name: Signature(tuple(("", kind) for kind in each.func.params), each.func.results)
            for each in parse(data).exports
            if each.func is not None
        }

    def call(self, name: str, args: Sequence[Any], grants: Grants, guard: Guard) -> tuple[Ending, list[Any]]:
        """Call an export of a fresh instance (after `_initialize`, where there is one).

        Raises GuestError for a function whose types have no values in Python.
        """
        _check_callable(name, self.functions[name])
        with FreshStore(self._engine, grants, guard, self._holdings) as store:
            try:
                instance = self._pre.instantiate(store)
            except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
                from wasmdock.engine.refusals import with_places  # few calls end so

                return with_places(ending_of(error, guard, instantiating=True), self._data), []
            guard.begin()
            exports = instance.exports(store)
            try:
                if "_initialize" in self.functions and name != "_initialize":
                    exports["_initialize"](store)  # type: ignore[operator]  # its type was read above
                result = exports[name](store, *args)  # type: ignore[operator]
            except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
                return self._told(ending_of(error, guard), instance, store, grants), []
        if result is None:
            return Ending(EndKind.EXITED), []
        return Ending(EndKind.EXITED), result if isinstance(result, list) else [result]

    def _told(self, ending: Ending, instance: wasmtime.Instance, store: wasmtime.Store, grants: Grants) -> Ending:
        """What the witness says of a trap."""
        from wasmdock.engine.refusals import told_by, with_places, with_refusal  # as above

        pages = told_by(instance, store)
        if ending.kind is not EndKind.TRAPPED or pages is None:
            return ending
        return with_places(with_refusal(ending, pages, grants, self._holdings[0]), self._data)


class ComponentLibrary:
    """The functions a component exports, those of its interfaces as `interface#function`."""

    def __init__(self, engine: Engine, data: bytes) -> None:
        """Compile it; imports are resolved at each call, from WASI 0.2. Raises GuestError."""
        self._engine, self._data = engine, data
        self._component = engine.component(data)
        self._holdings = count_holdings(data)
        self._linker = component.Linker(engine.raw_engine)
        self._linker.add_wasip2()
        exports = self._component.type.exports(engine.raw_engine)
        self._paths = dict(_functions(exports, engine.raw_engine))
        self.functions: Mapping[str, Signature] = Signatures({name: each[1] for name, each in self._paths.items()})

    def call(self, name: str, args: Sequence[Any], grants: Grants, guard: Guard) -> tuple[Ending, list[Any]]:
        """Call an export of a fresh instance."""
        index = None
        for part in self._paths[name][0]:
            index = self._component.get_export_index(part, index)
            assert index is not None, "the component's type says that it is there"
        with FreshStore(self._engine, grants, guard, self._holdings) as store:
            try:
                instance = self._linker.instantiate(store, self._component)
            except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
                if "matching implementation was not found" in str(error):
                    raise import_error(error) from error
                return ending_of(error, guard, instantiating=True), []
            guard.begin()
            assert index is not None
            function = instance.get_func(store, index)
            assert function is not None
            try:
                result = function(store, *args)
            except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
                from wasmdock.engine.refusals import told_by_trap  # few calls end so

                return told_by_trap(ending_of(error, guard), self._data, grants), []
        return Ending(EndKind.EXITED), [] if self._paths[name][1].result is None else [result]


Library = ModuleLibrary | ComponentLibrary


def load_library(engine: Engine, data: bytes, is_component: bool) -> Library:
    """Compile a library (or fetch its compiled code) and list its functions. Raises GuestError."""
    return ComponentLibrary(engine, data) if is_component else ModuleLibrary(engine, data)


def _check_callable(name: str, signature: Signature) -> None:
    kinds = (*(kind for _, kind in signature.params), *signature.results)
    strange = [str(kind) for kind in kinds if kind not in _CALLABLE]
    if strange:
        raise GuestError(f'invoking "{name}": its type has {strange[0]}, which has no value outside Wasm')


def _functions(
    exports: Mapping[str, Any], engine: wasmtime.Engine, prefix: tuple[str, ...] = ()
) -> Iterator[tuple[str, tuple[tuple[str, ...], wit_types.FuncType]]]:
    for name, export in exports.items():
        path, item = (*prefix, name), export.ty
        if isinstance(item, wit_types.FuncType):
            yield "#".join(path), (path, item)
        elif isinstance(item, wit_types.ComponentInstanceType):
            yield from _functions(item.exports(engine), engine, path)


def wit_of(kind: Any, budget: Iterator[int], depth: int = 0) -> Wit:
    """wasmtime's component type as the immutable tree that values are read and written by.

    Each type in it takes one from the budget; OverflowError where that is used up.
    """
    if next(budget, None) is None:
        raise OverflowError
    name = type(kind).__name__
    if name in _SIMPLE or depth > _DEEPEST:
        return Wit(_SIMPLE.get(name, "?"))
    inner = _inner(kind)
    parts = tuple((label, None if each is None else wit_of(each, budget, depth + 1)) for label, each in inner)
    return Wit(name.removesuffix("Type").lower(), parts)


def _inner(kind: Any) -> list[tuple[str, Any]]:
    """The parts of a compound type with their names."""
    if isinstance(kind, wit_types.ListType):
        return [("", kind.element)]
    if isinstance(kind, wit_types.OptionType):
        return [("", kind.payload)]
    if isinstance(kind, wit_types.RecordType):
        return list(kind.fields)
    if isinstance(kind, wit_types.TupleType):
        return [("", each) for each in kind.elements]
    if isinstance(kind, wit_types.VariantType):
        return list(kind.cases)
    if isinstance(kind, wit_types.ResultType):
        return [("ok", kind.ok), ("err", kind.err)]
    if isinstance(kind, wit_types.EnumType | wit_types.FlagsType):
        return [(each, None) for each in kind.names]
    return []
