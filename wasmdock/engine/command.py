"""Commands: programs run once from a fresh instance; here those of WASI preview 1."""

from ctypes import POINTER, byref
from typing import Any, Protocol

import wasmtime
from wasmtime import _bindings as raw

from wasmdock.engine.compiler import Engine
from wasmdock.engine.endings import Ending, ending_of, import_error
from wasmdock.engine.exits import define_exit
from wasmdock.engine.instance import FreshStore, Grants
from wasmdock.errors import GuestError
from wasmdock.wasm_holdings import count_holdings
from wasmdock.watch import Guard

_WAITING_FUNCTIONS = frozenset({"poll_oneoff", "sock_accept", "sock_recv", "sock_send"})
_MEMORY_KIND = 3  # WASMTIME_EXTERN_MEMORY of wasmtime/extern.h


class Program(Protocol):
    """A compiled guest with its imports resolved."""

    @property
    def may_block(self) -> bool:
        """Whether it can wait in a host call, where neither epoch nor fuel reaches it."""

    def run(self, grants: Grants, guard: Guard) -> Ending:
        """Run a fresh instance to its end, in this thread."""


def load_command(engine: Engine, data: bytes, is_component: bool, export: str = "_start") -> Program:
    """Compile a command (or fetch its compiled code) and resolve its imports. Raises GuestError.

    export is the function without parameters that a core module is started by.
    """
    if is_component:
        from wasmdock.engine.component_command import ComponentCommand  # wasmtime.component costs 10 ms of a start

        return ComponentCommand(engine, data)
    return ModuleCommand(engine, data, export)


class ModuleCommand:
    """A WASI preview 1 command: a core module started by `_start` or another function without parameters."""

    def __init__(self, engine: Engine, data: bytes, export: str = "_start") -> None:
        """Compile it and resolve its imports. Raises GuestError, also for one that WASI preview 1 does not have."""
        self._engine, self._export = engine, export
        module = engine.module(data)
        self._holdings = count_holdings(data)
        self.may_block = any(each.name in _WAITING_FUNCTIONS for each in module.imports)
        _check_startable(module, export)
        linker = wasmtime.Linker(engine.raw_engine)
        linker.define_wasi()
        define_exit(linker)
        try:
            self._pre = linker.instantiate_pre(module)
        except wasmtime.WasmtimeError as error:
            raise import_error(error) from error

    def run(self, grants: Grants, guard: Guard) -> Ending:
        """Run `_start` of a fresh instance to its end, in this thread."""
        with FreshStore(self._engine, grants, guard, self._holdings) as store:
            context = store._context()
            instance, trap = raw.wasmtime_instance_t(), POINTER(raw.wasm_trap_t)()
            error = raw.wasmtime_instance_pre_instantiate(self._pre.ptr(), context, byref(instance), byref(trap))
            if error or trap:
                return ending_of(_failure(error, trap), guard, instantiating=True)
            start = _export(context, instance, self._export.encode())
            error = raw.wasmtime_func_call(context, byref(start.of.func), None, 0, None, 0, byref(trap))
            memory = _memory_size(context, instance)
            return ending_of(_failure(error, trap), guard, memory)


def _check_startable(module: wasmtime.Module, export: str) -> None:
    functions = {each.name: each.type for each in module.exports if isinstance(each.type, wasmtime.FuncType)}
    if export not in functions:
        there = ", ".join(sorted(str(name) for name in functions)[:20]) or "none"
        raise GuestError(f'starting the guest at "{export}": it exports no such function', f"it exports: {there}")
    if functions[export].params or functions[export].results:
        raise GuestError(
            f'starting the guest at "{export}": the function takes parameters or gives results',
            "call it with wasmdock invoke",
        )


def _export(context: Any, instance: Any, name: bytes) -> Any:
    item = raw.wasmtime_extern_t()
    found = raw.wasmtime_instance_export_get(context, byref(instance), name, len(name), byref(item))
    return item if found else None


def _memory_size(context: Any, instance: Any) -> int | None:
    item = _export(context, instance, b"memory")
    if item is None or item.kind != _MEMORY_KIND:
        return None
    return int(raw.wasmtime_memory_data_size(context, byref(item.of.memory)))


def _failure(error: Any, trap: Any) -> Exception | None:
    if error:
        return wasmtime.WasmtimeError._from_ptr(error)
    return wasmtime.Trap._from_ptr(trap) if trap else None
